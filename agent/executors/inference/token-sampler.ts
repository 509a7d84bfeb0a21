import { positionSeed, type SamplingOptions } from '#actors/contract/generation.ts';

/**
 * Sampling from a whole distribution, in the engine's own order: bias and penalties, top-k, top-p, min-p, temperature, draw.
 * Used only where the engine's sampler does not let the untouched distribution be seen, that is when log-probabilities are
 * wanted; everything else is sampled by the engine.
 */

/** The model's own probability of each token, before anything was done to it. */
export type Distribution = ReadonlyMap<number, number>;

export type Filters = Pick<
  SamplingOptions,
  'temperature' | 'topP' | 'topK' | 'minP' | 'frequencyPenalty' | 'presencePenalty' | 'logitBias' | 'seed'
>;

/** What OpenAI's penalties and biases add to logits, given how often each token stands in the answer. */
export function logitChanges(
  { frequencyPenalty = 0, presencePenalty = 0, logitBias = [] }: Filters,
  counts: ReadonlyMap<number, number>,
): ReadonlyMap<number, number> {
  const changes = new Map<number, number>();
  for (const { token, bias } of logitBias) changes.set(token, bias);
  if (frequencyPenalty === 0 && presencePenalty === 0) return changes;
  for (const [token, count] of counts) changes.set(token, (changes.get(token) ?? 0) - count * frequencyPenalty - presencePenalty);
  return changes;
}

/** Draws one token. `position` is the token's in the answer: with the seed it decides alone. */
export function sampleToken(raw: Distribution, options: Filters, counts: ReadonlyMap<number, number>, position: number): number {
  const changes = logitChanges(options, counts);
  const logits: { token: number; logit: number }[] = [];
  for (const [token, probability] of raw) {
    if (probability > 0) logits.push({ token, logit: Math.log(probability) + (changes.get(token) ?? 0) });
  }
  // Equals stand in the order of their ids: the same request must give the same token on every run.
  logits.sort((a, b) => b.logit - a.logit || a.token - b.token);
  const [first] = logits;
  if (first === undefined) throw new Error('the model gave no distribution');
  if (options.temperature === 0) return first.token;
  const left = filter(logits, options);
  return draw(left, options.temperature, uniform(options.seed, position));
}

function filter(
  sorted: readonly { token: number; logit: number }[],
  { topK = 0, topP, minP = 0 }: Filters,
): readonly { token: number; logit: number }[] {
  let left = topK > 0 ? sorted.slice(0, topK) : sorted;
  const top = left[0]?.logit ?? 0;
  if (topP < 1) {
    const total = left.reduce((sum, { logit }) => sum + Math.exp(logit - top), 0);
    let mass = 0;
    const end = left.findIndex(({ logit }) => (mass += Math.exp(logit - top) / total) >= topP);
    if (end >= 0) left = left.slice(0, end + 1);
  }
  return minP > 0 ? left.filter(({ logit }) => logit >= top + Math.log(minP)) : left;
}

function draw(left: readonly { token: number; logit: number }[], temperature: number, at: number): number {
  const top = left[0]?.logit ?? 0;
  const weights = left.map(({ logit }) => Math.exp((logit - top) / temperature));
  let rest = at * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    rest -= weight;
    const chosen = left[index];
    if (rest < 0 && chosen !== undefined) return chosen.token;
  }
  // Rounding may leave a hair's breadth behind the last one.
  return left.at(-1)?.token ?? 0;
}

/** [0, 1) */
export function uniform(seed: number, position: number): number {
  return positionSeed(seed, position) / 2 ** 32;
}
