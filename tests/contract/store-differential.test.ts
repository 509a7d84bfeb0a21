import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createMemoryDatabase } from '#actors/store/memory/memory-store.ts';
import { createPostgresStore } from '#actors/store/postgres/postgres-store.ts';
import { type Databases, openDatabases } from './store-databases.ts';
import { historyOf, ordersOf, prepare, Teller, type Round } from './store-histories.ts';

/** Seeds that are always the same, and as many that are new in each run; DIFFERENTIAL_FROM=seed begins there. */
const SLICE = Number(process.env['DIFFERENTIAL_COUNT'] ?? 5);
const given = process.env['DIFFERENTIAL_FROM'];
const fresh = given === undefined ? 1_000_000 + Math.floor(Math.random() * 1_000_000_000) : Number(given);
const ROUNDS = 60;
const LOOK = 5;
/** Commits that the memory can take back, to try another order. */
const HISTORY = 100;

let databases: Databases;
beforeAll(async () => {
  databases = await openDatabases();
});
afterAll(() => databases.close());

/** Plays one history on both stores, and compares every answer and then all that there is. */
async function compare(seed: number): Promise<void> {
  const { orm, close } = await databases.fresh();
  try {
    const memory = createMemoryDatabase({ history: HISTORY });
    const ours = new Teller(memory.connect().store);
    const theirs = new Teller(createPostgresStore(orm));
    await prepare(ours);
    await prepare(theirs);
    for (const [n, round] of historyOf(seed, ROUNDS).entries()) {
      const context = `DIFFERENTIAL_FROM=${seed}, round ${n}: ${round.steps.map(({ told }) => told).join(' | ')}`;
      const answers = await Promise.all(round.steps.map((step) => theirs.answer(step)));
      // What answers do not show is looked at where it may depend on an order, and now and then.
      const look = round.steps.length > 1 || n % LOOK === 0 || n === ROUNDS - 1;
      const everything = look ? await theirs.everything() : null;
      expect(await explained(round, ours, memory, { answers, everything }), context).toEqual({ answers, everything });
    }
  } finally {
    await close();
  }
}

interface Seen {
  readonly answers: readonly unknown[];
  readonly everything: unknown;
}

/** What the memory says: of steps that PostgreSQL took at once in the order that fits, if any does. */
async function explained({ steps }: Round, ours: Teller, memory: ReturnType<typeof createMemoryDatabase>, seen: Seen): Promise<Seen> {
  let told: Seen | undefined;
  for (const order of ordersOf(steps)) {
    const before = memory.commits;
    const answers: unknown[] = [];
    for (const step of order) answers[steps.indexOf(step)] = await ours.answer(step);
    told = { answers, everything: seen.everything === null ? null : await ours.everything() };
    if (steps.length === 1 || JSON.stringify(told) === JSON.stringify(seen)) return told;
    memory.failOver(memory.commits - before);
  }
  // None fits: the first order, for whoever reads the difference.
  const answers: unknown[] = [];
  for (const step of steps) answers.push(await ours.answer(step));
  return { answers, everything: await ours.everything() };
}

describe('the memory and PostgreSQL', () => {
  it(`answer the histories 1..${SLICE} alike, also of verbs at once`, { timeout: 180_000 }, async () => {
    for (let seed = 1; seed <= SLICE; seed++) await compare(seed);
  });

  it(`answer the fresh histories ${fresh}..${fresh + SLICE - 1} alike, also of verbs at once`, { timeout: 180_000 }, async () => {
    for (let seed = fresh; seed < fresh + SLICE; seed++) await compare(seed);
  });
});
