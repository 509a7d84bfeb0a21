import type { GenerationRequest, SamplingOptions } from '#actors/contract/generation.ts';

const NAMES = ['Lily', 'Tom', 'Max', 'Sara', 'Ben', 'Mia', 'Tim', 'Anna', 'Sam', 'Lucy', 'Jack', 'Amy'];
const THINGS = ['dog', 'boat', 'tree', 'ball', 'bird', 'cake', 'car', 'hat', 'frog', 'star', 'book', 'cat', 'kite', 'box'];
const STARTS = [
  'Once upon a time',
  'One day',
  'There was a little girl',
  'In a big forest',
  'The sun was hot and',
  'It was a cold day',
  'Every morning',
];

/** Greedy or seeded: what a quorum's requests are. */
const SEEDED: readonly Partial<SamplingOptions>[] = [{ temperature: 0 }, { temperature: 1 }, { temperature: 0.8, topP: 0.95, topK: 40 }];

/** Every way to choose a token. */
const ALL: readonly { readonly sampling: Partial<SamplingOptions>; readonly grammar?: string }[] = [
  ...SEEDED.map((sampling) => ({ sampling })),
  { sampling: { temperature: 0.7, minP: 0.05, frequencyPenalty: 0.5, presencePenalty: 0.3, logitBias: [{ token: 300, bias: 2 }] } },
  { sampling: { temperature: 1, topP: 0.9, logprobs: 2 } },
  { sampling: { temperature: 1 }, grammar: 'root ::= [A-Za-z ,.]+' },
];

function promptOf(random: () => number): string {
  const pick = (from: readonly string[]): string => from[Math.floor(random() * from.length)] ?? '';
  return `${pick(STARTS)}, ${pick(NAMES)} and ${pick(NAMES)} saw a ${pick(THINGS)} and a ${pick(THINGS)}.`;
}

export function requests(
  count: number,
  { random, kinds, lengths }: { random: () => number; kinds: 'all' | 'seeded'; lengths: readonly [least: number, most: number] },
): GenerationRequest[] {
  return Array.from({ length: count }, (_, n) => {
    const { sampling, ...rest } = kinds === 'all' ? (ALL[n % ALL.length] ?? {}) : { sampling: SEEDED[n % SEEDED.length] };
    const maxTokens = lengths[0] + Math.floor(random() * (lengths[1] - lengths[0] + 1));
    const seed = Math.floor(random() * 2 ** 32);
    const defaults = { maxTokens, temperature: 0, topP: 1, seed, stop: [], seedPerPosition: true };
    return { prompt: promptOf(random), ...rest, sampling: { ...defaults, ...sampling } };
  });
}
