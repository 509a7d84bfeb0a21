import { randomUUID } from 'node:crypto';

import type { SignedAnswer } from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import type { SeenAnswer } from '#actors/audit/answer-check.ts';
import { createInferenceHost } from '#agent/executors/inference/inference-host.ts';
import { createAnswerSigner } from '#agent/models/answer-signer.ts';
import { realHost } from '#runtime/host.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';

/** An answer as the grid saw it, with what its device signed. */
export interface Answered {
  readonly seen: SeenAnswer;
  readonly receipt: SignedAnswer;
  /** The likeliest tokens of the last place, where the request asked for them. */
  readonly likeliest: readonly number[];
}

export interface Recomputed {
  readonly gaps: readonly number[];
  /** Digest of the prompt's tokens, as this model makes them. */
  readonly prompt: string | undefined;
}

/** A device with one model: the agent's engine in its process, and the agent's key. */
export interface AuditedModel {
  readonly key: KeyPair;
  readonly device: string;
  readonly sequences: number;
  answer(request: GenerationRequest): Promise<Answered>;
  recompute(seen: SeenAnswer): Promise<Recomputed>;
  end(): Promise<void>;
}

export interface AuditedModelOptions {
  readonly modelPath: string;
  /** SHA-256 of the file that it claims to serve. */
  readonly model: string;
  readonly device: string;
  readonly contextSize: number;
  readonly threads: number;
  readonly sequences: number;
}

export async function auditedModel(options: AuditedModelOptions): Promise<AuditedModel> {
  const { modelPath, model, device, contextSize, threads, sequences } = options;
  const key = generateKeyPair();
  const log = { info() {}, warn() {} };
  const engine = createInferenceHost({ host: realHost(), modelPath, name: device, contextSize, sequences, threads, log, onState() {} });
  await engine.load();
  return {
    key,
    device,
    sequences,
    answer: (request) =>
      new Promise((resolve, reject) => {
        const generation = randomUUID();
        const tokens = [...(request.resume?.tokens ?? [])];
        const tokensFrom = tokens.length;
        let text = '';
        let likeliest: number[] = [];
        const signer = createAnswerSigner({ device, key }, { generation, model, request });
        const handle = engine.generate(
          { generation, request },
          {
            tokens(_from, more, piece, logprobs) {
              tokens.push(...more);
              text += piece;
              signer.said(more, piece);
              likeliest = logprobs?.at(-1)?.top.map(({ token }) => token) ?? likeliest;
              handle.credit(more.length);
            },
            ended(end) {
              const receipt = signer.sign(end);
              if (receipt === null || (end.outcome !== 'stop' && end.outcome !== 'length')) return reject(new Error(JSON.stringify(end)));
              const { promptTokens, outcome } = end;
              const textFrom = request.resume?.textLength ?? 0;
              const seen = { attempt: generation, device, model, request, tokens, text, tokensFrom, textFrom, promptTokens, outcome };
              resolve({ seen, receipt, likeliest });
            },
          },
        );
      }),
    recompute: ({ request, tokens, outcome }) =>
      new Promise((resolve, reject) => {
        const { resume: _resume, ...asked } = request;
        const gaps: number[] = [];
        let prompt: string | undefined;
        engine.compute(
          { generation: randomUUID(), task: { kind: 'audit', request: asked, tokens: [...tokens], outcome } },
          {
            tokens: () => reject(new Error('a task has no tokens')),
            values(values) {
              gaps.push(...(values.gaps ?? []));
              prompt ??= values.prompt;
            },
            ended: (end) => (end.outcome === 'stop' ? resolve({ gaps, prompt }) : reject(new Error(JSON.stringify(end)))),
          },
        );
      }),
    end: () => engine.unload(),
  };
}

/** As many at once as the model has room for, or fewer. */
export async function together<T, R>(atOnce: number, items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as T, index); // index < length
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return results;
}
