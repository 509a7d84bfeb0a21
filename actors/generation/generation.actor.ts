import type { GenerationRequest } from '#actors/contract/generation.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { GenerationProtocol } from './generation.protocol.ts';

/** No token and no end for this long: the replica hangs. Loading a model counts against LOAD_MS instead. */
const SILENCE_MS = 60_000;
const LOAD_MS = 300_000;

export interface GenerationResult {
  readonly finish: 'stop' | 'length' | 'cancelled';
  readonly device: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Where a completion's text goes: the door that the client's connection ends at. Called in order; exactly one of `ended`, `failed` and `refused` comes last. */
export interface GenerationSink {
  /** A replica has it. Before the first text. */
  started(device: string): void;
  text(text: string, tokens: number): void;
  ended(result: GenerationResult): void;
  failed(error: GridError): void;
  /** The model cannot take this prompt, here or anywhere. */
  refused(why: { promptTokens: number; reason: string }): void;
}

export interface GenerationArgs {
  readonly services: Services;
  readonly generation: string;
  readonly model: string;
  readonly pool: ModelPoolRef;
  readonly request: GenerationRequest;
  readonly usage: { readonly tenant: string; readonly apiKey: string };
  readonly sink: GenerationSink;
}

/**
 * One open completion: waiting ──replica──▶ generating ──▶ ended | failed.
 * Owns the token log; what reaches the sink has been logged, in order and without a gap.
 */
export const generationActor = defineActor({
  protocol: GenerationProtocol,
  mailbox: { capacity: 8_192 },
  start(context, args: GenerationArgs) {
    const { generation, pool, sink, model } = args;
    const log: number[] = [];
    let replica: { device: string; ref: DeviceRef } | null = null;
    let over = false;
    let timer = context.after(LOAD_MS, () => fail('the model did not load in time'));
    pool.acquire(context.self);

    function touch(): void {
      timer.cancel();
      timer = context.after(SILENCE_MS, () => {
        replica?.ref.cancelGeneration(generation);
        fail('the replica stopped answering');
      });
    }

    function finish(deliver: () => void, outcome: string, promptTokens: number, completionTokens: number): void {
      if (over) return;
      over = true;
      if (replica !== null) pool.release({ device: replica.device });
      deliver();
      const row = {
        id: generation,
        tenant: args.usage.tenant,
        apiKey: args.usage.apiKey,
        model,
        device: replica?.device ?? null,
        promptTokens,
        completionTokens,
        outcome,
        at: context.clock.wall(),
      };
      // The client has its answer; usage is written behind it, and the actor lives until it is.
      context.pipe(args.services.store.recordUsage(row), (result) => {
        if (!result.ok) args.services.log.error({ generation, error: result.error }, 'usage not recorded');
        context.stop();
      });
    }

    function fail(reason: string): void {
      finish(() => sink.failed(new GridError('MODEL_FAILED', `model ${model}: ${reason}`, { fix: 'try again' })), 'failed', 0, log.length);
    }

    return {
      replica(found) {
        if (over) return void pool.release({ device: found.device });
        replica = found;
        touch();
        sink.started(found.device);
        const { request } = args;
        if (found.ref.generate({ generation, model, request, owner: context.self }) !== 'accepted') fail('the device was lost');
      },
      noReplica(error) {
        finish(() => sink.failed(error), 'failed', 0, 0);
      },
      tokens({ from, tokens, text }) {
        if (over) return;
        // The link neither loses nor repeats, so a gap is a defect of the agent: better no answer than a wrong one.
        if (from !== log.length) return fail(`token ${log.length} expected, got ${from}`);
        touch();
        log.push(...tokens);
        sink.text(text, tokens.length);
      },
      ended({ outcome, promptTokens, completionTokens, reason = 'the generation failed', retryable }) {
        if (over) return;
        if (outcome === 'failed' && !retryable) return finish(() => sink.refused({ promptTokens, reason }), 'refused', promptTokens, 0);
        if (outcome === 'failed') return fail(reason);
        const device = replica?.device ?? '';
        finish(() => sink.ended({ finish: outcome, device, promptTokens, completionTokens }), outcome, promptTokens, completionTokens);
      },
      cancel() {
        if (over) return;
        replica?.ref.cancelGeneration(generation);
        const completionTokens = log.length;
        finish(
          () => sink.ended({ finish: 'cancelled', device: replica?.device ?? '', promptTokens: 0, completionTokens }),
          'cancelled',
          0,
          completionTokens,
        );
      },
    };
  },
});
