import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

import type { AttemptRequest, AttemptVerdict } from './attempt-protocol.ts';

/**
 * The second thread of an executor's child. It hands the request over, passes on that a checkpoint is wanted, and kills the process, which the module may
 * keep busy for ever, when one of two things happens: the agent is gone (its end of our standard input closes, even if
 * it was killed), or the process takes far more memory than the module's limit explains (a compiler fed with malice).
 */

const VERDICT = 1;
const LOOK_EVERY_MS = 200;

const lifeline = new Socket({ fd: 0, readable: true, writable: false });
let text = '';
/** One: a checkpoint is wanted. The module keeps the main thread busy, so it is told through memory. */
const wanted = new Int32Array(workerData as SharedArrayBuffer);
let started = false;

lifeline.setEncoding('utf8');
lifeline.on('data', (chunk: string) => {
  if (started) {
    Atomics.store(wanted, 0, 1);
    return;
  }
  text += chunk;
  if (!text.includes('\n')) return;
  started = true;
  const request = JSON.parse(text.slice(0, text.indexOf('\n'))) as AttemptRequest;
  watchMemory(request.processMiB * 1024 * 1024);
  parentPort?.postMessage(request);
  if (text.indexOf('\n') < text.length - 1) Atomics.store(wanted, 0, 1);
});
lifeline.on('error', die);
lifeline.on('close', die);

function watchMemory(limit: number): void {
  setInterval(() => {
    const used = process.memoryUsage.rss();
    if (used <= limit) return;
    const reason = `the attempt's process took ${Math.round(used / 1024 / 1024)} MiB of memory`;
    writeSync(VERDICT, `${JSON.stringify({ ok: false, reason } satisfies AttemptVerdict)}\n`);
    die();
  }, LOOK_EVERY_MS);
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}
