import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { pause } from '#runtime/database/backoff.ts';
import { createLedger, type LedgerOptions } from '#runtime/database/ledger.ts';
import { type VirtualHost, virtualHost } from '#runtime/simulation/virtual-host.ts';

const COMMIT_MS = 20;
const hosts: VirtualHost[] = [];

afterEach(() => {
  expect(
    hosts
      .splice(0)
      .map((host) => host.pendingTimers)
      .filter((timers) => timers > 0),
  ).toEqual([]);
});

function failure(code: string): Error {
  return Object.assign(new Error(`failed with ${code}`), { code });
}

/** A ledger whose commits take 20 virtual ms, answer ten times each change and are on record with their time. */
function ledgerUnderTest(options: Partial<LedgerOptions<number, number>> = {}) {
  const host = virtualHost(7);
  hosts.push(host);
  const start = host.clock.now();
  const commits: { at: number; batch: readonly number[] }[] = [];
  let running = 0;
  const ledger = createLedger<number, number>({
    host,
    async commit(batch) {
      running += 1;
      expect(running, 'one commit at a time').toBe(1);
      commits.push({ at: host.clock.now() - start, batch });
      await pause(host, COMMIT_MS);
      running -= 1;
      return batch.map((change) => change * 10);
    },
    ...options,
  });
  return { host, ledger, commits };
}

describe('batches', () => {
  it('commits at once when idle, and takes along what arrives in the same turn', async () => {
    const { host, ledger, commits } = ledgerUnderTest();
    const answers = Promise.all([ledger.submit(1), ledger.submit(2), ledger.submit(3)]);
    await host.advance(COMMIT_MS);
    expect(await answers).toEqual([10, 20, 30]);
    expect(commits).toEqual([{ at: 0, batch: [1, 2, 3] }]);
  });

  it('tells when all that came before the question is answered, failures included, whatever comes after it', async () => {
    const { host, ledger } = ledgerUnderTest({
      async commit() {
        await pause(host, COMMIT_MS);
        throw failure('23505');
      },
    });
    await ledger.answered();
    let told = false;
    void ledger.submit(1).catch(() => undefined);
    void ledger.answered().then(() => (told = true));
    await host.advance(1);
    const later = ledger.submit(2).catch(() => 'failed later');
    await host.advance(COMMIT_MS - 2);
    expect(told).toBe(false);
    await host.advance(1);
    expect(told).toBe(true);
    await host.advance(COMMIT_MS);
    expect(await later).toBe('failed later');
  });

  it('answers nobody before the commit has ended', async () => {
    const { host, ledger } = ledgerUnderTest();
    let answered = false;
    void ledger.submit(1).then(() => (answered = true));
    await host.advance(COMMIT_MS - 1);
    expect(answered).toBe(false);
    await host.advance(1);
    expect(answered).toBe(true);
  });

  it('makes the next batch of what arrives during a commit, without a further wait', async () => {
    const { host, ledger, commits } = ledgerUnderTest();
    const answers = [ledger.submit(1)];
    await host.advance(5);
    answers.push(ledger.submit(2));
    await host.advance(4);
    answers.push(ledger.submit(3));
    await host.advance(100);
    expect(await Promise.all(answers)).toEqual([10, 20, 30]);
    expect(commits).toEqual([
      { at: 0, batch: [1] },
      { at: COMMIT_MS, batch: [2, 3] },
    ]);
  });

  it('lets a young change wait for others, for maxDelayMs at most', async () => {
    const { host, ledger, commits } = ledgerUnderTest({ maxDelayMs: 10 });
    const answers = [ledger.submit(1)];
    await host.advance(17);
    answers.push(ledger.submit(2));
    await host.advance(8);
    answers.push(ledger.submit(3));
    await host.advance(100);
    await Promise.all(answers);
    expect(commits).toEqual([
      { at: 0, batch: [1] },
      { at: 27, batch: [2, 3] },
    ]);
  });

  it('stops waiting when a batch is full', async () => {
    const { host, ledger, commits } = ledgerUnderTest({ maxDelayMs: 10, maxBatch: 2 });
    const answers = [ledger.submit(1)];
    await host.advance(19);
    answers.push(ledger.submit(2));
    await host.advance(2);
    answers.push(ledger.submit(3));
    await host.advance(100);
    await Promise.all(answers);
    expect(commits).toEqual([
      { at: 0, batch: [1] },
      { at: 21, batch: [2, 3] },
    ]);
  });

  it('never exceeds maxBatch and keeps the order', async () => {
    const { host, ledger, commits } = ledgerUnderTest({ maxBatch: 3 });
    const answers = Promise.all([1, 2, 3, 4, 5, 6, 7].map((change) => ledger.submit(change)));
    await host.advance(1_000);
    expect(await answers).toEqual([10, 20, 30, 40, 50, 60, 70]);
    expect(commits.map(({ batch }) => batch)).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
  });
});

describe('failures', () => {
  it('repeats the whole batch while the database is away', async () => {
    const batches: (readonly number[])[] = [];
    const { host, ledger } = ledgerUnderTest({
      commit: async (batch) => {
        batches.push(batch);
        if (batches.length < 4) throw failure('ECONNREFUSED');
        return batch.map((change) => -change);
      },
    });
    const answers = Promise.all([ledger.submit(1), ledger.submit(2)]);
    await host.advance(10_000);
    expect(await answers).toEqual([-1, -2]);
    expect(batches).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
  });

  it('answers all with the error when the database stays away', async () => {
    const { host, ledger } = ledgerUnderTest({ attempts: 3, commit: () => Promise.reject(failure('57P03')) });
    const answers = Promise.allSettled([ledger.submit(1), ledger.submit(2)]);
    await host.advance(60_000);
    expect(await answers).toMatchObject([
      { status: 'rejected', reason: { code: '57P03' } },
      { status: 'rejected', reason: { code: '57P03' } },
    ]);
    await ledger.idle();
  });

  it('lets one bad change sink alone', async () => {
    const tried: (readonly number[])[] = [];
    const { host, ledger } = ledgerUnderTest({
      commit: async (batch) => {
        tried.push(batch);
        if (batch.includes(5)) throw failure('23505');
        return batch.map((change) => change * 10);
      },
    });
    const answers = Promise.allSettled([1, 2, 3, 4, 5, 6, 7].map((change) => ledger.submit(change)));
    await host.advance(1);
    expect((await answers).map((each) => (each.status === 'fulfilled' ? each.value : (each.reason as Error).message))).toEqual([
      10,
      20,
      30,
      40,
      'failed with 23505',
      60,
      70,
    ]);
    expect(tried).toEqual([[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4], [5, 6, 7], [5, 6], [5], [6], [7]]);
  });

  it('goes on with the next batch after a bad one', async () => {
    const { host, ledger } = ledgerUnderTest({
      maxBatch: 1,
      commit: async (batch) => (batch[0] === 1 ? Promise.reject(failure('22003')) : batch),
    });
    const answers = Promise.allSettled([ledger.submit(1), ledger.submit(2)]);
    await host.advance(100);
    expect((await answers).map((each) => each.status)).toEqual(['rejected', 'fulfilled']);
  });

  it('answers nobody with a neighbour’s outcome when the outcomes are miscounted', async () => {
    const { host, ledger } = ledgerUnderTest({ commit: async () => [1] });
    const answers = Promise.allSettled([ledger.submit(1), ledger.submit(2)]);
    await host.advance(1);
    expect((await answers).map((each) => (each.status === 'rejected' ? (each.reason as Error).message : 'answered'))).toEqual([
      'A commit of 2 changes answered 1 outcomes.',
      'A commit of 2 changes answered 1 outcomes.',
    ]);
  });
});

describe('bounds and end', () => {
  it('refuses with BUSY when too many wait, and takes changes again afterwards', async () => {
    const { host, ledger } = ledgerUnderTest({ maxQueued: 2 });
    const taken = [ledger.submit(1)];
    await host.advance(1);
    taken.push(ledger.submit(2), ledger.submit(3));
    await expect(ledger.submit(4)).rejects.toMatchObject({ code: 'BUSY' });
    await host.advance(100);
    expect(await Promise.all(taken)).toEqual([10, 20, 30]);
    const again = ledger.submit(5);
    await host.advance(100);
    expect(await again).toBe(50);
  });

  it('is idle at once when there is nothing to do, else after the last commit', async () => {
    const { host, ledger } = ledgerUnderTest({ maxBatch: 1 });
    await ledger.idle();
    void ledger.submit(1);
    void ledger.submit(2);
    let idle = false;
    void ledger.idle().then(() => (idle = true));
    await host.advance(2 * COMMIT_MS - 1);
    expect(idle).toBe(false);
    await host.advance(1);
    expect(idle).toBe(true);
  });

  it('close writes what waits, then refuses', async () => {
    const { host, ledger, commits } = ledgerUnderTest({ maxDelayMs: 1_000 });
    const answers = [ledger.submit(1)];
    await host.advance(5);
    answers.push(ledger.submit(2));
    await host.advance(COMMIT_MS);
    const closed = ledger.close();
    await expect(ledger.submit(3)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await host.advance(COMMIT_MS);
    await closed;
    expect(await Promise.all(answers)).toEqual([10, 20]);
    expect(commits).toEqual([
      { at: 0, batch: [1] },
      { at: 25, batch: [2] },
    ]);
    await ledger.close();
  });
});

it('every change of a random history is committed once, in order, and answered with its own outcome', async () => {
  const history = fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 30 }), count: fc.integer({ min: 1, max: 7 }) }), {
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(history, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 25 }), async (steps, maxBatch, maxDelayMs) => {
      const { host, ledger, commits } = ledgerUnderTest({ maxBatch, maxDelayMs });
      const answers: Promise<number>[] = [];
      for (const { waitMs, count } of steps) {
        await host.advance(waitMs);
        for (let made = 0; made < count; made += 1) answers.push(ledger.submit(answers.length));
      }
      await host.advance(answers.length * (COMMIT_MS + maxDelayMs) + 1);
      await ledger.idle();
      const expected = answers.map((_, index) => index);
      expect(await Promise.all(answers)).toEqual(expected.map((index) => index * 10));
      expect(commits.flatMap(({ batch }) => batch)).toEqual(expected);
      expect(Math.max(0, ...commits.map(({ batch }) => batch.length))).toBeLessThanOrEqual(maxBatch);
    }),
    { numRuns: 60 },
  );
});
