import { setTimeout as sleep } from 'node:timers/promises';

import { randomFrom } from '#tests/support/gguf/random-weights.ts';

import { type Benchmark, rounded } from './benchmark.ts';
import { type Door, stream, type Streamed, textOf } from './failover-stream-answer.ts';
import { type Fault, FAULTS, type Fleet, MODEL, startFleet } from './failover-stream-fleet.ts';

const MACHINES = ['a', 'b', 'c'];
const TOKENS = 400;
/** What an audit lets pass: how far two machines may differ about one token's log-probability. */
const TOLERANCE = 0.01;
/** Prompt and answer so far, evaluated anew on the next machine, as measured in the same run. */
const GAP_MS = 300;

type Kind = 'greedy' | 'sampled' | 'tool call' | 'JSON schema';
const KINDS: readonly Kind[] = ['greedy', 'sampled', 'tool call', 'JSON schema'];
const LIST = { type: 'array', minItems: 40, maxItems: 50, items: { type: 'integer', minimum: 0, maximum: 999 } };
const OBJECT = { type: 'object', properties: { list: LIST }, required: ['list'], additionalProperties: false };

function bodyOf(kind: Kind, seed: number, deterministic: boolean): object {
  const messages = [{ role: 'user', content: 'tell me of the grid' }];
  const base = {
    model: MODEL,
    messages,
    seed,
    max_tokens: kind === 'greedy' || kind === 'sampled' ? TOKENS : 2 * TOKENS,
    temperature: 0.9,
    ...(deterministic ? { deterministic } : {}),
  };
  if (kind === 'greedy') return { ...base, temperature: 0 };
  if (kind === 'sampled') return { ...base, top_k: 5 };
  if (kind === 'JSON schema') return { ...base, response_format: { type: 'json_schema', json_schema: { name: 'list', schema: OBJECT } } };
  const tools = [{ type: 'function', function: { name: 'keep', parameters: OBJECT } }];
  return { ...base, tools, tool_choice: { type: 'function', function: { name: 'keep' } } };
}

/** What is wrong with an answer, or null. `whole` is the unfailed run's, which it has to equal byte for byte. */
function faultOf(kind: Kind, answer: Streamed, whole: Streamed | null): string | null {
  const { content, calls, tokens, finish, completionTokens, done, error } = answer;
  if (error !== null) return error;
  if (!done) return 'the stream ended without [DONE]';
  if (completionTokens !== tokens.length) return `${tokens.length} tokens came, and usage says ${completionTokens}`;
  const text = textOf(tokens);
  if (kind === 'tool call') {
    const [call, ...more] = calls;
    if (call === undefined || more.length > 0 || finish !== 'tool_calls') return `no one call but ${JSON.stringify({ calls, finish })}`;
    if (!isList(call.arguments)) return `arguments are not valid: ${call.arguments}`;
    if (!text.includes(call.arguments)) return 'the arguments are not what the tokens say';
  } else {
    // The first word's space is not shown.
    if (content.trimStart() !== text.trimStart()) return 'the text is not what the tokens say';
    if (kind === 'JSON schema' && (finish !== 'stop' || !isList(content))) return `${finish}: not valid: ${content}`;
    if (kind !== 'JSON schema' && (finish !== 'length' || tokens.length !== TOKENS)) return `${finish} after ${tokens.length} tokens`;
  }
  if (whole !== null && textOf(whole.tokens) !== text) return `not the unfailed run: ${partingOf(answer, whole)}`;
  return null;
}

/** Where two answers part, for people. */
function partingOf(one: Streamed, other: Streamed): string {
  const at = one.tokens.findIndex((token, n) => String(token.bytes) !== String(other.tokens[n]?.bytes));
  const shown = [one, other].map(({ tokens }) => `${JSON.stringify(textOf(tokens.slice(at, at + 1)))} (${tokens[at]?.logprob})`);
  return `token ${at} is ${shown.join(' and ')}`;
}

function isList(text: string): boolean {
  try {
    const { list } = JSON.parse(text) as { list: number[] };
    return list.length >= 40 && list.length <= 50 && list.every((n) => Number.isInteger(n) && n >= 0 && n <= 999);
  } catch {
    return false;
  }
}

/**
 * Of a batched answer: every machine agrees about each token after the move as far as an audit asks. The same request is computed once
 * more without a fault, alone; while both say the same their likelihoods are compared, and where greedy ones part it must be a near tie.
 */
function driftOf(answer: Streamed, alone: Streamed): number {
  let worst = 0;
  for (const [at, token] of answer.tokens.entries()) {
    const other = alone.tokens[at];
    if (other === undefined) break;
    worst = Math.max(worst, Math.abs(other.logprob - token.logprob));
    if (String(other.bytes) !== String(token.bytes)) break;
  }
  return worst;
}

interface Outcome {
  readonly kind: Kind;
  readonly fault: Fault;
  readonly wrong: string | null;
  readonly gapMs: number;
  readonly moved: boolean;
}

interface Trial {
  readonly kind: Kind;
  readonly fault: Fault;
  readonly seed: number;
  readonly deterministic: boolean;
  /** The token at which it is struck. */
  readonly at: number;
}

async function play(fleet: Fleet, door: Door, { kind, fault, seed, deterministic, at }: Trial): Promise<Outcome> {
  const body = bodyOf(kind, seed, deterministic);
  const alone = await stream(door, bodyOf(kind, seed, true));
  const before = fleet.moves();
  const company = deterministic ? [] : [1, 2].map((n) => stream(door, bodyOf('sampled', seed + n, false)));
  const struck = { at: 0, mend: null as Promise<() => Promise<void>> | null };
  const answer = await stream(door, body, (tokens, device) => {
    if (struck.mend !== null || tokens < at || device === '') return;
    struck.at = performance.now();
    struck.mend = fleet.strike(device, fault);
  });
  const others = await Promise.all(company);
  const mend = await struck.mend;
  await mend?.();
  const broken = others.map((other) => faultOf('sampled', other, null)).find((wrong) => wrong !== null);
  const drift = deterministic ? 0 : driftOf(answer, alone);
  const wrong =
    faultOf(kind, answer, deterministic ? alone : null) ?? broken ?? (drift > TOLERANCE ? `likelihoods differ by ${drift}` : null);
  return { kind, fault, wrong, gapMs: gapAfter(answer.arrivals, struck.at), moved: fleet.moves() > before };
}

/** The longest silence from the fault on. */
function gapAfter(arrivals: readonly number[], from: number): number {
  let gap = 0;
  for (const [at, time] of arrivals.entries())
    if (time >= from && from > 0) gap = Math.max(gap, time - Math.max(from, arrivals[at - 1] ?? from));
  return gap;
}

/** Milliseconds for prompt and answer so far, on a machine that has not seen them: what a move cannot save. */
async function prefillMs(door: Door): Promise<number> {
  const started = performance.now();
  const words = Array.from({ length: 400 }, (_, n) => ['the', 'old', 'grid', 'saw'][(n * 7) % 4]).join(' ');
  await stream(door, { model: MODEL, messages: [{ role: 'user', content: words }], max_tokens: 1 });
  return performance.now() - started;
}

export const failoverStream: Benchmark = {
  about: 'streams whose machine is killed, cut off, drained or wanted back: no token lost, and how long they pause',
  async run({ quick, note }) {
    const kills = quick ? 20 : 200;
    const random = randomFrom(2_026);
    const fleet = await startFleet(MACHINES);
    try {
      const { key, id } = (await fleet.grid.client.post('/api/keys', { name: 'bench', tenant: 'bench' })) as { key: string; id: string };
      const door: Door = { url: fleet.grid.url, key };
      const prefill = await prefillMs(door);
      const outcomes: Outcome[] = [];
      for (let n = 0; n < kills; n++) {
        const [kind = 'greedy', fault = 'host killed'] = [KINDS[n % KINDS.length], FAULTS[Math.floor(n / KINDS.length) % FAULTS.length]];
        const deterministic = deterministicAt(n);
        const trial = { kind, fault, seed: 10_000 + n * 10, deterministic, at: 5 + Math.floor(random() * 150) };
        const outcome = await play(fleet, door, trial);
        outcomes.push(outcome);
        if (outcome.wrong !== null)
          note(`${n}: ${kind}, ${fault} at ${trial.at}, ${deterministic ? 'alone' : 'batched'}: ${outcome.wrong.slice(0, 400)}`);
        if ((n + 1) % 20 === 0) note(`${n + 1} of ${kills} kills, ${outcomes.filter(({ wrong }) => wrong === null).length} right`);
      }
      await sleep(300);
      const gaps = outcomes.filter(({ moved }) => moved).map(({ gapMs }) => gapMs).sort((a, b) => a - b); // prettier-ignore
      const at = (share: number): number => gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * share))] ?? Number.NaN;
      const counted = (await fleet.grid.client.get(`/api/usage?key=${id}`)) as { requests: number }[];
      const asked = 1 + outcomes.length * 2 + outcomes.filter((_, n) => !deterministicAt(n)).length * 2;
      const figures = {
        kills: outcomes.length,
        moved: gaps.length,
        right: outcomes.filter(({ wrong }) => wrong === null).length,
        countedOnce: counted[0]?.requests === asked ? 1 : 0,
        gapP50Ms: rounded(at(0.5)),
        gapP95Ms: rounded(at(0.95)),
        gapWorstMs: rounded(at(1)),
        prefillMs: rounded(prefill),
        ...Object.fromEntries(FAULTS.map((fault) => [`${fault}: gap p95 ms`, rounded(p95(outcomes, fault))])),
      };
      return {
        figures,
        ratios: { 'right/kills': rounded(figures.right / figures.kills) },
        targets: {
          'right/kills': { atLeast: 1 },
          countedOnce: { atLeast: 1 },
          gapP95Ms: { atMost: rounded(GAP_MS + prefill) },
        },
        absent: {},
      };
    } finally {
      await fleet.end();
    }
  },
};

/** Half of them, over all kinds and faults. */
function deterministicAt(n: number): boolean {
  return Math.floor(n / (KINDS.length * FAULTS.length)) % 2 === 0 ? n % 2 === 0 : n % 2 === 1;
}

function p95(outcomes: readonly Outcome[], fault: Fault): number {
  const gaps = outcomes.filter((o) => o.fault === fault && o.moved).map(({ gapMs }) => gapMs).sort((a, b) => a - b); // prettier-ignore
  return gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * 0.95))] ?? Number.NaN;
}
