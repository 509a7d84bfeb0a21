import { afterEach, expect, it } from 'vitest';
import { watchConnection } from '#runtime/database/connection-watch.ts';
import type { SqlClient } from '#runtime/database/sql-client.ts';
import { type VirtualHost, virtualHost } from '#runtime/simulation/virtual-host.ts';

/** A server on virtual time that can be taken away and brought back; it counts its open connections. */
function server() {
  let up = true;
  const open = new Set<() => void>();
  const connect = async (): Promise<SqlClient> => {
    if (!up) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const ended = Promise.withResolvers<void>();
    const end = (): void => {
      open.delete(end);
      ended.resolve();
    };
    open.add(end);
    return {
      query: async () => [],
      onEnd: (listener) => void ended.promise.then(listener),
      unref: () => undefined,
      close: async () => end(),
    };
  };
  return {
    connect,
    open,
    setUp(value: boolean) {
      up = value;
      if (!value) for (const end of open) end();
    },
  };
}

let host: VirtualHost;

afterEach(() => expect(host.pendingTimers).toBe(0));

async function watched() {
  host = virtualHost(3);
  const database = server();
  const watch = watchConnection({
    host,
    first: await database.connect(),
    connect: database.connect,
    backoff: { minMs: 10, maxMs: 100, jitter: 0 },
  });
  const seen: string[] = [];
  watch.onLost(() => seen.push('lost'));
  const undo = watch.onBack(() => seen.push('back'));
  return { database, watch, seen, undo };
}

it('tells once that the database is lost and once that it is back, each time', async () => {
  const { database, watch, seen } = await watched();
  for (let round = 0; round < 2; round += 1) {
    database.setUp(false);
    await host.advance(1_000);
    database.setUp(true);
    await host.advance(100);
  }
  expect(seen).toEqual(['lost', 'back', 'lost', 'back']);
  expect(database.open.size).toBe(1);
  await watch.close();
  expect(database.open.size).toBe(0);
});

it('tells nobody who has undone his interest', async () => {
  const { database, watch, seen, undo } = await watched();
  undo();
  database.setUp(false);
  await host.advance(50);
  database.setUp(true);
  await host.advance(200);
  expect(seen).toEqual(['lost']);
  await watch.close();
});

it('closing while the database is away ends the tries and says nothing more', async () => {
  const { database, watch, seen } = await watched();
  database.setUp(false);
  await host.advance(35);
  await watch.close();
  database.setUp(true);
  await host.advance(1_000);
  expect(seen).toEqual(['lost']);
  expect(database.open.size).toBe(0);
});

it('closing is not a loss', async () => {
  const { watch, seen } = await watched();
  await watch.close();
  await host.advance(1_000);
  expect(seen).toEqual([]);
});
