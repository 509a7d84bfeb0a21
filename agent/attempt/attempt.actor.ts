import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import type { RunCommand, VoteMessage } from '#actors/contract/agent-link.ts';
import { INLINE_LIMIT, fenceText, type ObjectRef } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { appendObject, cachedObject, hashFile, uploadFile } from '#agent/bundle/fetch-object.ts';
import type { Transfer } from '#agent/bundle/transfer.ts';
import type { Executor } from '#agent/executors/executor.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { VoteSigner } from './vote-signer.ts';
import { AttemptProtocol, type AttemptOwner } from './attempt.protocol.ts';

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
    let uploading = false;
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
      const result = await args.executor.run({
        modulePath,
        args: command.args,
        inputPath,
        outputPath,
        limits: command.limits,
        signal: abort.signal,
      });
      if (!result.ok) throw new Error(result.reason);
      const { size } = await stat(outputPath);
      return { output: { sha256: await hashFile(outputPath), size }, seconds: result.seconds };
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
      offerAgain() {
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
