import type { RunCommand, VoteMessage } from '#actors/contract/agent-link.ts';
import { INLINE_LIMIT, type ObjectRef, type SignedRequest } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import type { AttemptArgs } from '#agent/attempt/attempt.actor.ts';
import { AttemptProtocol } from '#agent/attempt/attempt.protocol.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

export interface AttemptWorld {
  /** What this machine makes of the command: its output, or why it has none. */
  readonly compute: (command: RunCommand) => Uint8Array | { readonly fails: string };
  /** How long it takes, in ms. */
  readonly durationMs: (command: RunCommand) => number;
  /** Carries out an upload that the grid signed; rejects when the store has no room. */
  readonly upload: (bytes: Uint8Array, put: SignedRequest) => Promise<void>;
  /** Told of each command that is obeyed. */
  readonly onObeyed: (command: RunCommand) => void;
}

/** An attempt without files, processes and WASM: computes for a while of virtual time, then offers, uploads and votes as the real one does. */
export function simulatedAttempt(world: AttemptWorld): ActorDefinition<typeof AttemptProtocol, AttemptArgs> {
  return defineActor({
    protocol: AttemptProtocol,
    start(context, { command, owner, signer }: AttemptArgs) {
      const { fence, job, shard } = command;
      let finished: { output: ObjectRef; bytes: Uint8Array } | null = null;
      let uploading = false;
      world.onObeyed(command);

      function fail(reason: string): void {
        owner.failed({ fence, job, shard, reason });
        context.stop();
      }

      function vote({ output, bytes }: { output: ObjectRef; bytes: Uint8Array }): void {
        const claim = { job, shard, fence, module: command.module.sha256, inputDigest: command.inputDigest, output };
        const inline = output.size <= INLINE_LIMIT ? { bytes } : {};
        context.pipe(signer.sign(voteBytes(claim)), (signed) => {
          if (!signed.ok) return fail(String(signed.error));
          const message: VoteMessage = { type: 'vote', fence, job, shard, output, ...inline, seconds: 0.1, ...signed.value };
          owner.finished(message);
          context.stop();
        });
      }

      context.after(world.durationMs(command), () => {
        const made = world.compute(command);
        if (!(made instanceof Uint8Array)) return fail(made.fails);
        finished = { output: { sha256: sha256Hex(made), size: made.length }, bytes: made };
        if (made.length <= INLINE_LIMIT) return vote(finished);
        owner.offer({ fence, job, shard, output: finished.output });
      });

      return {
        checkpointMade: () => undefined,
        checkpointNow: () => undefined,
        uploadCheckpoint: () => undefined,
        offerAgain() {
          if (finished !== null && !uploading) owner.offer({ fence, job, shard, output: finished.output });
        },
        upload(put) {
          if (finished === null || uploading) return;
          uploading = true;
          const done = finished;
          if (put === null) return vote(done);
          context.pipe(world.upload(done.bytes, put), (result) => {
            if (!result.ok) return fail('the store has no room');
            vote(done);
          });
        },
      };
    },
  });
}
