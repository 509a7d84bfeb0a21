import type { TokenLogprob } from '#actors/contract/generation.ts';

import type { Distribution } from './token-sampler.ts';

/** The engine's floats end here; a token that it gives no probability at all is reported as this unlikely. */
const LEAST = 1e-30;

/** How likely a token was, and the likeliest others. */
export function likelihoodOf(token: number, raw: Distribution, alternatives: number, bytesOf: (token: number) => Uint8Array): TokenLogprob {
  const one = (id: number) => ({ token: id, logprob: logprobOf(raw, id), bytes: bytesOf(id).subarray(0, 1024) });
  return { ...one(token), top: likeliest(raw, alternatives).map(one) };
}

/** Never above 0: rounding may carry a sure token a hair over it. */
export function logprobOf(raw: Distribution, token: number): number {
  return Math.min(0, Math.log(Math.max(LEAST, raw.get(token) ?? 0)));
}

/** The likeliest tokens, likeliest first; equals by id. */
export function likeliest(raw: Distribution, count: number): number[] {
  const best: { token: number; probability: number }[] = [];
  if (count === 0) return [];
  for (const [token, probability] of raw) {
    const last = best.at(-1);
    if (best.length === count && last !== undefined && probability <= last.probability) continue;
    best.push({ token, probability });
    best.sort((a, b) => b.probability - a.probability || a.token - b.token);
    if (best.length > count) best.pop();
  }
  return best.map(({ token }) => token);
}
