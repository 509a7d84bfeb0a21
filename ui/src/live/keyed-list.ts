import { z } from 'zod';

import type { ProblemJson } from '#actors/contract/live.ts';

import type { GridSocket } from './grid-socket.ts';
import { asProblem, UNREACHABLE } from './problem.ts';
import { createSource, type Source } from './source.ts';
import type { Timing } from './timing.ts';

/**
 * A list that the grid sends whole once and then keeps fresh row by row.
 *
 * `loading` until the first list; `live`; `stale` while the connection is lost (the rows stay); `failed` when the grid
 * refuses the list. After each reconnect it is asked for anew. A row that arrives while the list is on its way is newer
 * than the list, so it is laid over it.
 */
export interface ListView<T> {
  readonly phase: 'loading' | 'live' | 'stale' | 'failed';
  readonly rows: readonly T[];
  readonly problem: ProblemJson | null;
}

export interface KeyedList<T> {
  readonly view: Source<ListView<T>>;
  /** Lays one row in by hand, for an answer that came by another way. */
  put(row: T): void;
  close(): void;
}

export interface KeyedListOptions<T> {
  readonly socket: GridSocket;
  readonly timing: Timing;
  /** Request that answers the whole list, event that brings one row. */
  readonly request: string;
  readonly event: string;
  readonly schema: z.ZodType<T>;
  readonly keyOf: (row: T) => string;
  readonly compare: (a: T, b: T) => number;
}

const ASK_AGAIN_MS = 2_000;

export function createKeyedList<T>(options: KeyedListOptions<T>): KeyedList<T> {
  const { socket, timing, schema, keyOf, compare } = options;
  const view = createSource<ListView<T>>({ phase: 'loading', rows: [], problem: null });
  const rows = new Map<string, T>();
  /** Rows that came while the list is asked for; null when it is not. */
  let early: T[] | null = null;
  let asking = 0;
  let frameDue = false;
  let closed = false;
  let connected = false;
  let cancelRetry = (): void => {};

  function show(phase: ListView<T>['phase'], problem: ProblemJson | null = null): void {
    if (!closed) view.set({ phase, rows: [...rows.values()].sort(compare), problem });
  }

  async function ask(): Promise<void> {
    const turn = ++asking;
    early = [];
    cancelRetry();
    try {
      const list = z.array(schema).parse(await socket.request(options.request));
      if (turn !== asking || closed) return;
      rows.clear();
      for (const row of [...list, ...early]) rows.set(keyOf(row), row);
      early = null;
      show('live');
    } catch (error) {
      if (turn !== asking || closed) return;
      const problem = asProblem(error, {
        code: 'INTERNAL',
        message: `The grid's answer to \`${options.request}\` has a form that this page does not know.`,
      });
      if (problem.code !== UNREACHABLE.code) show('failed', problem);
      else
        cancelRetry = timing.after(ASK_AGAIN_MS, () => {
          if (connected) void ask();
        });
    }
  }

  function put(row: T): void {
    rows.set(keyOf(row), row);
    early?.push(row);
    if (frameDue || view.get().phase === 'loading') return;
    frameDue = true;
    timing.nextFrame(() => {
      frameDue = false;
      show(view.get().phase);
    });
  }

  const offEvent = socket.on(options.event, (payload) => {
    const row = schema.safeParse(payload);
    if (row.success) put(row.data);
    // A row that this page cannot read must not leave an old one standing: the whole list tells what is wrong.
    else void ask();
  });
  function onConnection(): void {
    const { phase } = socket.connection.get();
    if ((phase === 'connected') === connected) return;
    connected = phase === 'connected';
    if (connected) void ask();
    else if (view.get().phase === 'live') show('stale');
  }
  const offConnection = socket.connection.subscribe(onConnection);
  onConnection();

  return {
    view,
    put,
    close() {
      closed = true;
      cancelRetry();
      offEvent();
      offConnection();
    },
  };
}
