import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

import { MAX_MODULE_BYTES, validateModule } from '#actors/contract/wasm-module.ts';

import { type AttemptRequest, type AttemptVerdict, oneLine } from './attempt-protocol.ts';
import { fileSink, fileSource, logSink, OutputTooLarge } from './standard-streams.ts';
import { checkpointsOf, type Checkpoints } from './checkpoints.ts';
import { CheckpointRefused } from './checkpoint-file.ts';
import { runWasi } from './wasi.ts';

/**
 * The executor's child: one process for one attempt. The module runs on the main thread, which Node's permission model
 * binds to three files; worker threads are not bound by it, so the worker here only holds the lifeline (`lifeline.ts`).
 */

const VERDICT = 1;
const LOG_BYTES = 64 * 1024;
const LOG_TAIL = 1000;

function attempt(request: AttemptRequest): AttemptVerdict {
  const log = logSink(LOG_BYTES);
  try {
    const code = runModule(request, log);
    return code === 0 ? { ok: true } : failure(`the module ended with exit code ${code}`, log.text());
  } catch (error) {
    const said = failure(explain(error), log.text());
    return said.ok || !(error instanceof CheckpointRefused) ? said : { ...said, checkpointRefused: true };
  }
}

function runModule(request: AttemptRequest, stderr: ReturnType<typeof logSink>): number {
  const moduleFile = openSync(request.modulePath, 'r');
  if (fstatSync(moduleFile).size > MAX_MODULE_BYTES) throw new Error('the module is too large');
  const verdict = validateModule(readFileSync(moduleFile), request);
  closeSync(moduleFile);
  if (!verdict.ok) throw new Error(`the module is refused: ${verdict.reason}`);
  const input = openSync(request.inputPath, 'r');
  // Checkpoints hold what was written, so it is read back.
  const output = openSync(request.outputPath, request.checkpoints === undefined ? 'wx' : 'wx+', 0o600);
  const stdout = fileSink(output, request.outputMiB * 1024 * 1024);
  const stdin = fileSource(input);
  const run: Checkpoints =
    request.checkpoints === undefined ? {} : checkpointsOf(request, request.checkpoints, { stdin, stdout, output, wanted });
  const code = runWasi(new WebAssembly.Module(verdict.module), request.args, { stdin, stdout, stderr }, run);
  stdout.flush();
  closeSync(output);
  closeSync(input);
  return code;
}

function explain(error: unknown): string {
  if (error instanceof WebAssembly.RuntimeError) {
    const place = /wasm-function\[\d+\][^\s)]*/.exec(error.stack ?? '')?.[0];
    return `the module trapped: ${error.message}${place === undefined ? '' : ` in ${place}`}`;
  }
  if (error instanceof CheckpointRefused) return `the checkpoint is refused: ${error.message}`;
  if (error instanceof OutputTooLarge) return error.message;
  if (error instanceof RangeError && /call stack/i.test(error.message)) return 'the module ran out of stack';
  return error instanceof Error ? error.message : String(error);
}

function failure(what: string, log: string): AttemptVerdict {
  const tail = oneLine(log.slice(-LOG_TAIL), LOG_TAIL);
  return { ok: false, reason: oneLine(tail === '' ? what : `${what}; its stderr ends: ${tail}`) };
}

const wanted = new Int32Array(new SharedArrayBuffer(4));
const lifeline = new Worker(new URL('lifeline.ts', import.meta.url), { env: {}, workerData: wanted.buffer });
lifeline.once('message', (request: AttemptRequest) => {
  writeSync(VERDICT, `${JSON.stringify(attempt(request))}\n`);
  process.exit(0);
});
