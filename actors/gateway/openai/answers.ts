import type { GenerationRequest, TokenLogprob } from '#actors/contract/generation.ts';
import type { GenerationResult } from '#actors/generation/generation.actor.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { FoundModel } from '#actors/model-pool/model-pool.protocol.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';
import { GridError } from '#runtime/errors.ts';

import type { GatewayArgs } from '../gateway.ts';
import { generationRefused, openAiError, type OpenAiErrorReply } from './errors.ts';
import { choiceSeed } from './schema-parts.ts';

/** Tokens of a whole reply, all its choices together. A prompt that several choices share counts once. */
export interface ReplyUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

/** Where the choices of a reply go. Choices interleave; of each the parts come in order, and `finished` last. */
export interface ReplySink {
  started(device: string): void;
  text(index: number, text: string, logprobs: readonly TokenLogprob[]): void;
  finished(index: number, reason: 'stop' | 'length'): void;
}

export type ReplyEnd =
  | { readonly ok: true; readonly usage: ReplyUsage }
  | { readonly ok: false; readonly error: OpenAiErrorReply; readonly usage: ReplyUsage };

export interface Reply {
  /** Ends all of it; `over` says so as an error. */
  cancel(): void;
  readonly over: Promise<ReplyEnd>;
}

export interface ReplyOptions {
  readonly by: Principal;
  readonly found: FoundModel;
  readonly requestId: string;
  /** Names of the answers, one for each choice: their receipts are found under them. */
  readonly answers: readonly string[];
  /** Answers to each of these, `n` of each. */
  readonly requests: readonly GenerationRequest[];
  readonly n: number;
  /** What the prompt is called in errors. */
  readonly param: string;
  readonly sink: ReplySink;
  /** Of a reply with one choice: how a later coordinator can show it. */
  readonly shown?: string | undefined;
}

/** Starts every choice of a reply as a generation of its own; the first failure ends them all. */
export function startReply({ generate }: Pick<GatewayArgs, 'generate'>, options: ReplyOptions): Reply {
  const { by, found, requests, n, sink, answers } = options;
  const { promise, resolve } = Promise.withResolvers<ReplyEnd>();
  const refs: GenerationRef[] = [];
  const prompts: ReplyUsage[] = [];
  let open = requests.length * n;
  let completionTokens = 0;
  let over = false;

  function usage(): ReplyUsage {
    const sum = (pick: (prompt: ReplyUsage) => number): number => prompts.reduce((total, prompt) => total + pick(prompt), 0);
    return { promptTokens: sum((p) => p.promptTokens), cachedTokens: sum((p) => p.cachedTokens), completionTokens };
  }

  function fail(error: OpenAiErrorReply): void {
    if (over) return;
    over = true;
    for (const ref of refs) ref.cancel();
    resolve({ ok: false, error, usage: usage() });
  }

  function ended(index: number, result: GenerationResult): void {
    completionTokens += result.completionTokens;
    if (result.finish === 'cancelled') {
      return fail(openAiError(new GridError('UNREACHABLE', 'the request was cancelled'), options.requestId));
    }
    const { promptTokens, cachedTokens } = result;
    const prompt = Math.floor(index / n);
    prompts[prompt] ??= { promptTokens, cachedTokens, completionTokens: 0 };
    if (over) return;
    sink.finished(index, result.finish);
    open -= 1;
    if (open > 0) return;
    over = true;
    resolve({ ok: true, usage: usage() });
  }

  requests.forEach((request, prompt) => {
    for (let choice = 0; choice < n; choice++) {
      const index = prompt * n + choice;
      const generation = answers[index];
      if (generation === undefined) throw new Error('a choice has no name');
      const seed = choiceSeed(request.sampling.seed, index);
      const ref = generate({
        generation,
        model: found.model.name,
        modelFile: found.model.sha256,
        pool: found.pool,
        work: { request: index === 0 ? request : { ...request, sampling: { ...request.sampling, seed } } },
        usage: { tenant: by.tenant, apiKey: by.keyId },
        ...(options.shown === undefined ? {} : { shown: options.shown }),
        sink: {
          started: (device) => sink.started(device),
          text: (text, _tokens, logprobs) => {
            if (!over) sink.text(index, text, logprobs);
          },
          ended: (result) => ended(index, result),
          failed: (error) => fail(openAiError(error, options.requestId)),
          refused: (why) => fail(generationRefused(why, found.model.contextSize, options.param)),
        },
      });
      refs.push(ref);
    }
  });

  return {
    over: promise,
    cancel() {
      for (const ref of refs) ref.cancel();
    },
  };
}
