import { type ChildProcess, spawn } from 'node:child_process';
import { lstat, rm } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import type { Host } from '#runtime/kernel/host.ts';

import type { Executor, ExecutorRequest, ExecutorResult } from '../executor.ts';
import { type AttemptRequest, type AttemptVerdict, MAX_REASON, oneLine } from './attempt-protocol.ts';
import { CHILD, childCommand } from './child-command.ts';

/**
 * Runs WebAssembly modules, each attempt in a process of its own.
 *
 * The process gets an empty environment, no shared descriptor but three pipes, and Node's permission model: it may read
 * its own source files, the module and the input, and write the output. That is a second line; the first is that a
 * module can call nothing but our WASI (`wasi.ts`). It dies with the agent (`lifeline.ts`), by SIGKILL when its time is
 * up, and when it is told to stop. The module is checked and bounded inside the process (`validateModule`), so hostile
 * bytes are never parsed where the agent's key is.
 *
 * Determinism: a job must not let the bits of a NaN reach its output (test with `x != x` and write a value of your own);
 * they are the one thing that differs between processors.
 */
export function createWasmExecutor(host: ExecutorHost): Executor {
  return { run: (request) => runAttempt(host, request) };
}

/** What the executor takes from the machine: the time of an attempt and its end. */
export type ExecutorHost = Pick<Host, 'clock' | 'scheduler'>;

const Verdict = z.union([
  z.strictObject({ ok: z.literal(true) }),
  z.strictObject({ ok: z.literal(false), reason: z.string(), checkpointRefused: z.boolean().optional() }),
]);
const MadeCheckpoint = z.strictObject({ checkpoint: z.number().int().min(1).max(1_000_000), steps: z.number().int().min(1) });

/** Node itself takes about 100 MiB; the optimizing compiler of a large module some hundreds more. */
const PROCESS_OVERHEAD_MIB = 768;
const VERDICT_BYTES = 64 * 1024;
const STDERR_BYTES = 16 * 1024;

async function runAttempt(host: ExecutorHost, request: ExecutorRequest): Promise<ExecutorResult> {
  const started = host.clock.now();
  try {
    const verdict = await runChild(host, request);
    const seconds = (host.clock.now() - started) / 1000;
    const result = verdict.ok ? await measure(request, seconds) : verdict;
    if (!result.ok) await rm(request.outputPath, { force: true });
    return result;
  } catch (error) {
    // The machine's own trouble: no process can be started, a folder was taken away.
    return { ok: false, reason: oneLine(`the attempt cannot run here: ${String(error)}`) };
  }
}

/** The child says that it is done; the file says what it did. */
async function measure(request: ExecutorRequest, seconds: number): Promise<ExecutorResult> {
  const { size } = await lstat(request.outputPath);
  if (size > request.limits.outputMiB * 1024 * 1024) return { ok: false, reason: 'the output is larger than limits.outputMiB' };
  return { ok: true, seconds, size };
}

/** Starts the child and answers when it is gone. */
async function runChild(host: ExecutorHost, request: ExecutorRequest): Promise<AttemptVerdict> {
  if (request.signal.aborted) return { ok: false, reason: 'stopped' };
  const child = start(request);
  let ended: string | undefined;
  const end = (why: string): void => {
    ended ??= why;
    child.kill('SIGKILL');
  };
  const stop = (): void => end('stopped');
  const seconds = request.limits.timeoutSeconds;
  const timer = host.scheduler.after(seconds * 1000, () => end(`it ran longer than ${seconds} s (limits.timeoutSeconds)`));
  request.signal.addEventListener('abort', stop);
  const answer = readLines(child.stdout, request.checkpoints);
  const stderr = keep(child.stderr, STDERR_BYTES);
  // A child that dies early breaks this pipe; its end is reported below.
  child.stdin?.on('error', () => undefined);
  child.stdin?.write(`${JSON.stringify(attemptOf(request))}\n`);
  request.checkpoints?.started?.(() => {
    if (child.stdin?.writable === true) child.stdin.write('\n');
  });
  return new Promise((resolve) => {
    const settle = (how: string): void => {
      timer.cancel();
      request.signal.removeEventListener('abort', stop);
      child.stdin?.destroy();
      resolve(ended === undefined ? judge(answer(), how, stderr()) : { ok: false, reason: ended });
    };
    // A process that could not be started has no exit, only this error.
    child.on('error', (error) => {
      if (child.pid === undefined) settle(error.message);
    });
    child.on('close', (code, signal) => settle(signal ?? `exit code ${code}`));
  });
}

function start(request: ExecutorRequest): ChildProcess {
  const { file, args, cwd } = childCommand(CHILD, request);
  // A process group of its own: Ctrl-C is for the agent, which ends its attempts in its own order.
  return spawn(file, args, { env: {}, cwd, stdio: ['pipe', 'pipe', 'pipe'], detached: process.platform !== 'win32', windowsHide: true });
}

function attemptOf({ modulePath, args, inputPath, outputPath, limits, checkpoints }: ExecutorRequest): AttemptRequest {
  const { memoryMiB, outputMiB } = limits;
  const request = { modulePath, args, inputPath, outputPath, memoryMiB, outputMiB };
  if (checkpoints === undefined) return { ...request, processMiB: memoryMiB + PROCESS_OVERHEAD_MIB };
  const { made: _made, started: _started, ...order } = checkpoints;
  // A checkpoint is put together in memory, and so is one that is read.
  return { ...request, processMiB: 4 * (memoryMiB + outputMiB) + PROCESS_OVERHEAD_MIB, checkpoints: order };
}

/** Tells of checkpoints as they come, and keeps the verdict: the first line that is of none. Its bound is for one line. */
function readLines(stream: ChildProcess['stdout'], checkpoints: ExecutorRequest['checkpoints']): () => string {
  let text = '';
  let made = 0;
  stream?.setEncoding('utf8');
  stream?.on('data', (chunk: string) => {
    if (text.length < VERDICT_BYTES) text += chunk;
    if (checkpoints === undefined) return;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = parsed(MadeCheckpoint, text.slice(0, end));
      // In order, and under the name that it must have: the child says a number and never a path.
      if (line === null || line.checkpoint !== made + 1) return;
      made = line.checkpoint;
      text = text.slice(end + 1);
      checkpoints.made(path.join(checkpoints.folder, String(made)), line.steps);
    }
  });
  return () => text;
}

function parsed<T>(schema: z.ZodType<T>, line: string): T | null {
  try {
    return schema.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}

/** Collects the first `limit` bytes of a stream and lets the rest go. */
function keep(stream: ChildProcess['stdout'], limit: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, limit - size);
    size += part.length;
    if (part.length > 0) chunks.push(part);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/** Only a well-formed first line counts, whatever the exit code says. */
function judge(answer: string, how: string, stderr: string): AttemptVerdict {
  const [line = '', rest] = answer.split('\n', 2);
  if (rest !== undefined) {
    try {
      const verdict = Verdict.safeParse(JSON.parse(line));
      if (verdict.success && verdict.data.ok) return verdict.data;
      if (verdict.success && !verdict.data.ok) {
        const reason = verdict.data.reason.slice(0, MAX_REASON);
        return verdict.data.checkpointRefused === true ? { ok: false, reason, checkpointRefused: true } : { ok: false, reason };
      }
    } catch {
      // Not JSON: the process died in the middle of the line. Told below.
    }
  }
  const heap = /heap out of memory/i.test(stderr) ? ' (out of memory)' : '';
  return {
    ok: false,
    reason: oneLine(`the attempt's process ended without a result: ${how}${heap} ${heap === '' ? stderr.slice(-1000) : ''}`),
  };
}
