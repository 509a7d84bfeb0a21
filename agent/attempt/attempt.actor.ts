import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import type { RunCommand, VoteMessage } from '#actors/contract/agent-link.ts';
import { INLINE_LIMIT, fenceText, type Body, type ObjectRef } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { appendObject, cachedObject, hashFile, uploadFile } from '#agent/bundle/fetch-object.ts';
import type { Transfer } from '#agent/bundle/transfer.ts';
import type { Executor, ExecutorResult } from '#agent/executors/executor.ts';
import { mostCheckpointBytes } from '#agent/executors/wasm/checkpoint-file.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { VoteSigner } from './vote-signer.ts';
import { AttemptProtocol, type AttemptOwner } from './attempt.protocol.ts';
import { createCheckpointKeeper } from './checkpoint-keeper.ts';

/** Reasons cross the wire and are shown to people. */
const REASON_LIMIT = 2_000;

export interface AttemptArgs {
  readonly command: RunCommand;
  readonly owner: AttemptOwner;
  readonly executor: Executor;
  readonly signer: VoteSigner;
  readonly gridUrl: () => string;
  readonly cacheFolder: string;
  readonly workFolder: string;
  readonly log: Log;
}

/**
 * fetching ──▶ running ──▶ (offering ──▶ uploading ──▶) voted | failed
 *
 * Stopping it at any point ends the executor's process and removes the attempt's folder.
 */
export const attemptActor = defineActor({
  protocol: AttemptProtocol,
  start(context, args: AttemptArgs) {
    const { command, owner } = args;
    const { fence, job, shard } = command;
    const folder = path.join(args.workFolder, fenceText(fence));
    const outputPath = path.join(folder, 'output');
    const abort = new AbortController();
    const transfer: Transfer = {
      gridUrl: args.gridUrl(),
      signal: abort.signal,
      after: (ms, run) => context.after(ms, run),
      random: () => context.random(),
    };
    const keeper = createCheckpointKeeper({
      fence,
      transfer,
      tell: (message) => owner.checkpoint(message),
      pipe: (work, then) => context.pipe(work, then),
      warn: (error) => args.log.warn({ job, shard, error }, 'a checkpoint was not kept'),
    });
    let uploading = false;
    let makeCheckpoint = (): void => undefined;
    let finished: { output: ObjectRef; seconds: number } | null = null;

    context.onStop(async () => {
      abort.abort();
      await rm(folder, { recursive: true, force: true });
    });

    async function execute(): Promise<{ output: ObjectRef; seconds: number }> {
      await mkdir(folder, { mode: 0o700 });
      const modulePath = await cachedObject(command.module, args.cacheFolder, transfer);
      const inputPath = path.join(folder, 'input');
      await writeInput(inputPath);
      const result = await run(modulePath, inputPath);
      if (!result.ok) throw new Error(result.reason);
      const { size } = await stat(outputPath);
      return { output: { sha256: await hashFile(outputPath), size }, seconds: result.seconds };
    }

    async function run(modulePath: string, inputPath: string): Promise<ExecutorResult> {
      const { limits, checkpoint } = command;
      const request = { modulePath, args: command.args, inputPath, outputPath, limits, signal: abort.signal };
      if (checkpoint === undefined) return args.executor.run(request);
      const kept = path.join(folder, 'checkpoints');
      await mkdir(kept, { mode: 0o700 });
      const checkpoints = {
        everyMs: checkpoint.everySeconds * 1_000,
        folder: kept,
        module: command.module.sha256,
        inputDigest: command.inputDigest,
        made: (file: string, steps: number) => void context.self.checkpointMade({ file, steps }),
        started: (makeOne: () => void) => void (makeCheckpoint = makeOne),
      };
      const from = checkpoint.from === undefined ? null : await fetchCheckpoint(checkpoint.from);
      if (checkpoint.from === undefined || from === null) return args.executor.run({ ...request, checkpoints });
      const result = await args.executor.run({ ...request, checkpoints: { ...checkpoints, from } });
      if (result.ok || abort.signal.aborted) return result;
      // Whatever went wrong, nobody shall meet it again; what failed of itself fails, and its shard begins anew elsewhere.
      refuse(checkpoint.from, result.reason);
      return result.checkpointRefused === true ? args.executor.run({ ...request, checkpoints }) : result;
    }

    /** Null when it cannot be had as it was promised: the attempt begins anew then. */
    async function fetchCheckpoint(from: Body): Promise<string | null> {
      const file = path.join(folder, 'from');
      const handle = await open(file, 'wx', 0o600);
      try {
        if (from.size > mostCheckpointBytes(command.limits)) throw new Error('it is larger than the limits of the job');
        await appendObject(from, handle, transfer);
        return file;
      } catch (error) {
        if (abort.signal.aborted) throw error;
        refuse(from, error instanceof Error ? error.message : String(error));
        return null;
      } finally {
        await handle.close();
      }
    }

    function refuse({ sha256, size }: Body, reason: string): void {
      args.log.warn({ job, shard, sha256, reason }, 'checkpoint refused');
      const checkpoint = { sha256, size };
      owner.checkpoint({ type: 'checkpoint', fence, event: 'refused', checkpoint, steps: 1, reason: reason.slice(0, REASON_LIMIT) });
    }

    /** The parts one after the other; each preceded by its length when the command says so. */
    async function writeInput(inputPath: string): Promise<void> {
      const file = await open(inputPath, 'wx', 0o600);
      try {
        for (const part of command.input) {
          if (command.framed) {
            const length = Buffer.alloc(4);
            length.writeUInt32LE(part.size);
            await file.writeFile(length);
          }
          await appendObject(part, file, transfer);
        }
      } finally {
        await file.close();
      }
    }

    function fail(error: unknown): void {
      const reason = (error instanceof Error ? error.message : String(error)).slice(0, REASON_LIMIT);
      args.log.warn({ job, shard, fence: fenceText(fence), reason }, 'attempt failed');
      owner.failed({ fence, job, shard, reason });
      context.stop();
    }

    async function vote(output: ObjectRef, seconds: number): Promise<VoteMessage> {
      const claim = { job, shard, fence, module: command.module.sha256, inputDigest: command.inputDigest, output };
      const signed = await args.signer.sign(voteBytes(claim));
      const bytes = output.size <= INLINE_LIMIT ? { bytes: new Uint8Array(await readFile(outputPath)) } : {};
      return { type: 'vote', fence, job, shard, output, ...bytes, seconds, ...signed };
    }

    function sendVote(output: ObjectRef, seconds: number): void {
      context.pipe(vote(output, seconds), (made) => {
        if (!made.ok) return fail(made.error);
        owner.finished(made.value);
        context.stop();
      });
    }

    context.pipe(execute(), (result) => {
      if (!result.ok) return fail(result.error);
      finished = result.value;
      const { output, seconds } = result.value;
      if (output.size <= INLINE_LIMIT) return sendVote(output, seconds);
      owner.offer({ fence, job, shard, output });
    });

    return {
      checkpointMade(checkpoint) {
        if (finished === null) keeper.made(checkpoint);
      },
      checkpointNow() {
        makeCheckpoint();
      },
      uploadCheckpoint({ sha256, put }) {
        keeper.upload(sha256, put);
      },
      offerAgain() {
        keeper.offerAgain();
        if (finished !== null && finished.output.size > INLINE_LIMIT && !uploading)
          owner.offer({ fence, job, shard, output: finished.output });
      },
      upload(put) {
        if (finished === null || uploading) return;
        uploading = true;
        const { output, seconds } = finished;
        // Nothing to carry: the store has these bytes from another device.
        if (put === null) return sendVote(output, seconds);
        context.pipe(uploadFile(outputPath, put, transfer), (done) => {
          if (!done.ok) return fail(done.error);
          sendVote(output, seconds);
        });
      },
    };
  },
});
