import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

import { manualTiming, type ManualTiming } from '#tests/support/manual-timing.ts';
import { scriptedSocket, type ScriptedSocket } from '#tests/support/scripted-socket.ts';

import { createKeyedList, type KeyedList } from '../../../../ui/src/live/keyed-list.ts';
import { GridProblem, UNREACHABLE } from '../../../../ui/src/live/problem.ts';

const Row = z.strictObject({ id: z.string(), rank: z.number() });
type Row = z.infer<typeof Row>;

describe('createKeyedList', () => {
  let socket: ScriptedSocket;
  let timing: ManualTiming;
  let list: KeyedList<Row>;
  const ids = (): string =>
    list.view
      .get()
      .rows.map((row) => `${row.id}${row.rank}`)
      .join(' ');
  const first = () => {
    const [request] = socket.open;
    if (!request) throw new Error('nothing was asked');
    return request;
  };

  beforeEach(() => {
    socket = scriptedSocket();
    timing = manualTiming();
    list = createKeyedList({
      socket,
      timing,
      request: 'rows',
      event: 'row',
      schema: Row,
      keyOf: (row) => row.id,
      compare: (a, b) => a.rank - b.rank,
    });
  });
  afterEach(() => {
    list.close();
    expect(socket.listeners).toBe(0);
    expect(timing.waiting).toBe(0);
  });

  it('shows the list in its order once it came', async () => {
    expect(list.view.get().phase).toBe('loading');
    await first().answer([
      { id: 'b', rank: 2 },
      { id: 'a', rank: 1 },
    ]);
    expect(list.view.get().phase).toBe('live');
    expect(ids()).toBe('a1 b2');
  });

  it('makes one change on the page out of many rows', async () => {
    await first().answer([{ id: 'a', rank: 1 }]);
    let told = 0;
    list.view.subscribe(() => (told += 1));
    for (let rank = 10; rank < 60; rank++) socket.emit('row', { id: 'b', rank });
    expect(told).toBe(0);
    timing.frame();
    expect(told).toBe(1);
    expect(ids()).toBe('a1 b59');
  });

  it('lays rows that came while the list was on its way over it', async () => {
    socket.emit('row', { id: 'a', rank: 9 });
    await first().answer([
      { id: 'a', rank: 1 },
      { id: 'b', rank: 2 },
    ]);
    expect(ids()).toBe('b2 a9');
  });

  it('keeps its rows while the connection is lost and asks anew after', async () => {
    await first().answer([{ id: 'a', rank: 1 }]);
    socket.become({ phase: 'lost', since: 0 });
    expect(list.view.get()).toMatchObject({ phase: 'stale', rows: [{ id: 'a' }] });
    socket.become({ phase: 'connected', lagMs: null });
    await first().answer([{ id: 'c', rank: 3 }]);
    expect(list.view.get().phase).toBe('live');
    expect(ids()).toBe('c3');
  });

  it('asks for the whole list when a row cannot be read, and tells when that cannot be read either', async () => {
    await first().answer([]);
    socket.emit('row', { id: 'a', rank: 'first' });
    await first().answer([{ id: 'a', rank: 'first' }]);
    expect(list.view.get()).toMatchObject({ phase: 'failed', problem: { code: 'INTERNAL' } });
  });

  it('fails with the words of the grid', async () => {
    await first().fail(new GridProblem({ code: 'FORBIDDEN', message: 'not yours' }));
    expect(list.view.get()).toMatchObject({ phase: 'failed', problem: { message: 'not yours' } });
  });

  it('tries again when no answer came', async () => {
    await first().fail(new GridProblem(UNREACHABLE));
    timing.advance(2_000);
    await first().answer([]);
    expect(list.view.get().phase).toBe('live');
  });

  it('takes a row by hand', async () => {
    await first().answer([]);
    list.put({ id: 'x', rank: 1 });
    timing.frame();
    expect(ids()).toBe('x1');
  });
});
