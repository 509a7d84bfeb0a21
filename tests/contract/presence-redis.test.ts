import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import type { PresenceEntry, PresenceRenewal } from '#runtime/presence/presence.ts';
import { connectRedis } from '#runtime/presence/redis-connection.ts';
import { openRedisPresence, type RedisPresenceOptions } from '#runtime/presence/redis-presence.ts';
import { SERVER_TIME } from '#runtime/presence/redis-scripts.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { startProxy, type Proxy } from '#tests/support/proxy.ts';
import { startRedis, type RedisServer } from '#tests/support/redis-server.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { presenceContract, type PresenceUnderTest } from './presence.contract.ts';

const POLL_MS = 50;
/** What the tests let the server take for its clock. */
const CLOCK = 'test:now';
const START = 1_767_225_600_000;

let server: RedisServer;
let admin: Redis;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
});
afterAll(async () => {
  admin.disconnect();
  await server.end();
});

interface Coordinator extends PresenceUnderTest {
  readonly host: ReturnType<typeof virtualHost>;
  readonly client: Redis;
  readonly due: PresenceEntry[];
  readonly logged: string[];
  /** Waits until every command that is under way is answered and its answer worked off. */
  settle(): Promise<void>;
}

/** Coordinators with virtual clocks on a real server, whose clock the tests set as well. */
async function makeCoordinator(
  options: Partial<RedisPresenceOptions> & { url?: string; known?: () => Promise<readonly PresenceRenewal[]> } = {},
  listen = true,
): Promise<Coordinator> {
  const host = virtualHost(1);
  const client = await connectRedis(options.url ?? server.url);
  const due: PresenceEntry[] = [];
  const logged: string[] = [];
  const record = (fields: object, text: string): void => void logged.push(`${text} ${JSON.stringify(fields)}`);
  await admin.setnx(CLOCK, START);
  const presence = await openRedisPresence({
    client,
    host,
    log: { info: record, warn: record, error: record },
    coordinator: options.coordinator ?? 'c1',
    randomId: () => crypto.randomUUID(),
    known: async () => [],
    pollMs: POLL_MS,
    time: `tonumber(redis.call('GET', '${CLOCK}'))`,
    ...options,
  });
  if (listen) presence.onDue((batch) => due.push(...batch));
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      // Answers come in the order of the questions. A lost connection has none left.
      await client.ping().catch(() => undefined);
      await nextTurn();
      await host.settle();
    }
  };
  return {
    presence,
    host,
    client,
    due,
    logged,
    toleranceMs: 2 * POLL_MS,
    settle,
    async advance(ms) {
      const end = host.clock.now() + ms;
      await settle();
      while (host.clock.now() < end) {
        // Straight to where something can happen, lest an hour be seventy thousand questions.
        const [, first] = await admin.zrange('{corpgrid:presence}:due', '0', '0', 'WITHSCORES');
        const ahead = first === undefined ? ms : Number(first) - Number(await admin.get(CLOCK));
        const step = Math.min(Math.max(ahead, POLL_MS), end - host.clock.now());
        await admin.incrby(CLOCK, step);
        await host.advance(step);
        await settle();
      }
    },
    checkLeaks: async () => {
      expect(host.pendingTimers).toBe(0);
      // One that waited for its next try stays in that state for ever, without a timer.
      await waitUntil('the connection is closed', () => ['end', 'reconnecting'].includes(client.status));
    },
  };
}

describe('on a real Redis', () => {
  beforeEach(() => admin.flushall());

  presenceContract('Redis', async () => {
    const { due: _, ...test } = await makeCoordinator({}, false);
    return test;
  });
});

describe('several coordinators', () => {
  beforeEach(() => admin.flushall());

  /** They share the server's clock, so time passes for all of them, whoever looks first. */
  async function pass(coordinators: readonly Coordinator[], ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= POLL_MS) {
      const step = Math.min(left, POLL_MS);
      await admin.incrby(CLOCK, step);
      for (const each of coordinators) {
        await each.host.advance(step);
        await each.settle();
      }
    }
  }

  async function pair(options: Partial<RedisPresenceOptions> = {}): Promise<[Coordinator, Coordinator]> {
    const made: Coordinator[] = [];
    for (const coordinator of ['c1', 'c2']) made.push(await makeCoordinator({ ...options, coordinator }));
    onTestFinished(async () => {
      for (const each of made) {
        each.presence.close();
        await each.checkLeaks();
      }
    });
    return made as [Coordinator, Coordinator];
  }

  it('hand each entry to the one that set it, once', async () => {
    const both = await pair();
    const [one, two] = both;
    await pass(both, 6_000);
    for (let i = 0; i < 1_200; i++) await (i % 2 === 0 ? one : two).presence.set(`d${i}`, 't', 1_000 + (i % 7) * 100);
    await pass(both, 5_000);
    expect(one.due).toHaveLength(600);
    expect(two.due).toHaveLength(600);
    expect(one.due.every(({ id }) => Number(id.slice(1)) % 2 === 0)).toBe(true);
    expect(new Set([...one.due, ...two.due].map(({ id }) => id)).size).toBe(1_200);
    expect(await admin.keys('{corpgrid:presence}:*')).toEqual(['{corpgrid:presence}:grid']);
  });

  it('take over the entries of one that is dead, a little later', async () => {
    const both = await pair();
    const [one, two] = both;
    await pass(both, 6_000);
    await one.presence.set('a', 't', 1_000);
    await pass([two], 1_900);
    expect(two.due).toEqual([]);
    await pass([two], 200);
    expect(two.due).toEqual([{ id: 'a', token: 't' }]);
    await pass([one], 1_000);
    expect(one.due).toEqual([]);
  });

  it('know an entry by its last token only, whoever set it', async () => {
    const both = await pair();
    const [one, two] = both;
    await one.presence.set('a', 'old', 1_000);
    await two.presence.set('a', 'new', 2_000);
    expect(await one.presence.renew([{ id: 'a', token: 'old', ttlMs: 9_000 }])).toEqual([false]);
    expect(await one.presence.remove('a', 'old')).toBe(false);
    await pass(both, 2_100);
    expect([one.due, two.due]).toEqual([[], [{ id: 'a', token: 'new' }]]);
  });

  it('lose nothing when one dies with what it was just handed', async () => {
    const both = await pair({ holdMs: 3_000 });
    const [one, two] = both;
    await pass(both, 6_000);
    await one.presence.set('a', 't', 1_000);
    await admin.incrby(CLOCK, 1_000);
    // Handed over, and then never heard of again: the client is gone before it can confirm.
    const client = one.client as unknown as { presence_take(...args: unknown[]): Promise<unknown> };
    const take = client.presence_take.bind(client);
    client.presence_take = async (...args) => {
      const answer = await take(...args);
      one.client.disconnect();
      return answer;
    };
    await one.host.advance(POLL_MS);
    await waitUntil('it is dead', () => one.client.status === 'end');
    expect(one.due).toHaveLength(1);
    await pass([two], 2_900);
    expect(two.due).toEqual([]);
    await pass([two], 200);
    expect(two.due).toEqual([{ id: 'a', token: 't' }]);
  });
});

describe('when Redis fails', () => {
  let redis: RedisServer;
  let proxy: Proxy;
  let direct: Redis;
  let test: Coordinator;
  let known: PresenceRenewal[];

  beforeEach(async () => {
    redis = await startRedis();
    proxy = await startProxy(redis.url);
    direct = new Redis(redis.url);
    direct.on('error', () => undefined);
    known = [];
    test = await makeCoordinator({ url: proxy.url.replace('http', 'redis'), known: async () => known, time: SERVER_TIME });
    return async () => {
      test.presence.close();
      await test.checkLeaks();
      direct.disconnect();
      await proxy.close();
      await redis.end();
    };
  });

  /** Lets polls happen until it is so: time in Redis is real here, the coordinator's is not. */
  async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await waitUntil(what, async () => {
      await test.host.advance(POLL_MS);
      await nextTurn();
      return check();
    });
  }

  const stored = (id: string): Promise<string | null> => direct.zscore('{corpgrid:presence}:due', id);

  it('hands over by the clock of the server itself', async () => {
    await test.presence.set('a', 't', 200);
    expect(test.due).toEqual([]);
    await until('it is due', () => test.due.length > 0);
    expect(test.due).toEqual([{ id: 'a', token: 't' }]);
  });

  it('brings everything back after it was flushed, with a whole time to live', async () => {
    for (let i = 0; i < 1_100; i++) await test.presence.set(`d${i}`, 't', 60_000);
    known = [
      { id: 'd5', token: 'of the database, older', ttlMs: 30_000 },
      { id: 'orphan', token: '7', ttlMs: 30_000 },
    ];
    await direct.flushall();
    await until('all are back', async () => (await direct.zcard('{corpgrid:presence}:due')) === 1_101);
    expect(Number(await stored('orphan')) - Date.now()).toBeGreaterThan(20_000);
    expect(await direct.hget('{corpgrid:presence}:token', 'd5')).toBe('t');
    await until('it is in step', () => test.logged.some((line) => line.startsWith('presence is in step')));
    expect(await test.presence.renew([{ id: 'd1099', token: 't', ttlMs: 60_000 }])).toEqual([true]);
    expect(test.due).toEqual([]);
  });

  it('brings everything back after it was killed and came back empty', async () => {
    await test.presence.set('a', 't', 60_000);
    await test.presence.set('gone', 't', 60_000);
    await redis.kill();
    await until('it is noticed', () => test.client.status !== 'ready');
    // Nobody is refused meanwhile, and nobody waits.
    await test.presence.set('b', 't', 60_000);
    expect(await test.presence.renew([{ id: 'a', token: 't', ttlMs: 60_000 }])).toEqual([true]);
    expect(await test.presence.remove('gone', 't')).toBe(true);
    await redis.restart();
    await until('all are back', async () => (await direct.zcard('{corpgrid:presence}:due').catch(() => 0)) === 2);
    expect(await stored('gone')).toBeNull();
    expect(test.due).toEqual([]);
  });

  it('gives nobody up for a time in which nobody could be heard, when the connection was cut', async () => {
    await test.presence.set('a', 't', 300);
    await test.presence.set('ended', 't', 60_000);
    proxy.cut();
    await until('it is noticed', () => test.client.status !== 'ready');
    await test.presence.remove('ended', 't');
    await waitUntil('it would be due', async () => Number(await stored('a')) < Date.now());
    proxy.mend();
    await until('it is in step again', () => test.logged.filter((line) => line.startsWith('presence is in step')).length === 1);
    expect(await stored('ended')).toBeNull();
    await until('it is due after a whole time to live', () => test.due.length > 0);
    expect(test.due).toEqual([{ id: 'a', token: 't' }]);
  });

  it('decides from memory, with one grace more, while Redis stays away', async () => {
    await test.presence.set('silent', 't', 1_000);
    await test.presence.set('beating', 't', 1_000);
    await redis.kill();
    await until('it is noticed', () => test.client.status !== 'ready');
    for (let i = 0; i < 5; i++) {
      await test.host.advance(900);
      await test.presence.renew([{ id: 'beating', token: 't', ttlMs: 1_000 }]);
    }
    expect(test.due).toEqual([]);
    for (let i = 0; i < 3; i++) {
      await test.host.advance(900);
      await test.presence.renew([{ id: 'beating', token: 't', ttlMs: 1_000 }]);
    }
    expect(test.due).toEqual([{ id: 'silent', token: 't' }]);
  });

  it('does not wait for a Redis that answers no more', async () => {
    await test.presence.set('a', 't', 60_000);
    redis.freeze();
    const renewed = test.presence.renew([{ id: 'a', token: 't', ttlMs: 60_000 }]);
    expect(await renewed).toEqual([true]);
    redis.thaw();
    await until('it is in step again', () => test.logged.some((line) => line.startsWith('presence is in step')));
    expect(await test.presence.renew([{ id: 'a', token: 't', ttlMs: 60_000 }])).toEqual([true]);
  });

  it('asks the database again when it could not answer at first', async () => {
    let calls = 0;
    const asked = await makeCoordinator({
      url: redis.url,
      coordinator: 'c2',
      time: SERVER_TIME,
      known: async () => {
        calls += 1;
        if (calls === 2) throw new Error('the database is away');
        return [{ id: 'orphan', token: '1', ttlMs: 30_000 }];
      },
    });
    await direct.flushall();
    await waitUntil('the orphan is known', async () => {
      await asked.host.advance(POLL_MS);
      await nextTurn();
      return (await stored('orphan')) !== null;
    });
    expect(calls).toBe(3);
    asked.presence.close();
    await asked.checkLeaks();
  });
});

describe('when the process stood still', () => {
  it('brings its own back before it asks', async () => {
    await admin.flushall();
    const test = await makeCoordinator();
    for (let i = 0; i < 50; i++) await test.presence.set(`d${i}`, 't', 5_000);
    await test.settle();
    await admin.incrby(CLOCK, 3_600_000);
    await test.host.freeze(3_600_000);
    await test.settle();
    expect(test.due).toEqual([]);
    expect(await test.presence.renew([{ id: 'd7', token: 't', ttlMs: 60_000 }])).toEqual([true]);
    await test.advance(5_200);
    expect(test.due).toHaveLength(49);
    test.presence.close();
    await test.checkLeaks();
  });
});

describe('REDIS_URL', () => {
  const problem = async (url: string): Promise<unknown> =>
    connectRedis(url).then(
      (client) => client.disconnect(),
      (error: unknown) => error,
    );

  it.each([
    ['nonsense', 'is not an address'],
    ['http://127.0.0.1:6379', 'only redis://'],
    ['redis:///0', 'names no host'],
    ['redis://h/name', 'number of a database'],
  ])('%s is refused before anything connects', async (url, why) => {
    expect(await problem(url)).toMatchObject({ code: 'BAD_CONFIGURATION', path: 'REDIS_URL', message: expect.stringContaining(why) });
  });

  it('says what is wrong with the server, and never the password', async () => {
    const guarded = await startRedis({ password: 'right-secret' });
    onTestFinished(() => guarded.end());
    const at = `127.0.0.1:${guarded.port}`;
    const cases: [string, RegExp][] = [
      [`redis://:wrong-secret@${at}`, /password is wrong/],
      [`redis://nobody:wrong-secret@${at}`, /password is wrong/],
      [`redis://${at}`, /wants a password/],
      [`redis://:right-secret@${at}/4000`, /no database of this number/],
      ['redis://:wrong-secret@127.0.0.1:1', /Nothing listens there/],
    ];
    for (const [url, fix] of cases) {
      const error = (await problem(url)) as Error & { fix: string };
      expect(error).toMatchObject({ code: 'UNREACHABLE', path: 'REDIS_URL', fix: expect.stringMatching(fix) });
      expect(error.fix).toContain('REDIS_URL');
      expect(inspect(error, { depth: 9 })).not.toContain('secret');
    }
    expect(await problem(`redis://:right-secret@${at}`)).toBeUndefined();
  });
});
