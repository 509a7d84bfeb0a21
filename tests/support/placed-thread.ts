import { threadId } from 'node:worker_threads';

import { defineActor } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';

/** Actors for tests of threads. They are loaded on both sides. */

export const CounterProtocol = protocol('counter', {
  add: tell<number>(),
  seen: ask<void, readonly number[]>(),
  thread: ask<void, number>(),
  refuse: ask(),
  /** Answers what was sent; a function comes from the thread when nothing was. */
  echo: ask<unknown, unknown>(),
  drop: tell<unknown>(),
  /** Holds the thread until the gate opens. */
  hold: tell(),
  crash: tell<string>(),
  crashAsked: ask(),
  throwLater: tell(),
  exit: tell<number>(),
  leave: tell(),
});

export interface CounterArgs {
  /** Opens with 1. */
  readonly gate: Int32Array;
  /** Counts the starts, over all threads. */
  readonly starts: Int32Array;
  readonly failStart?: boolean;
}

export const counter = defineActor<typeof CounterProtocol, CounterArgs>({
  protocol: CounterProtocol,
  start(context, { gate, starts, failStart }) {
    Atomics.add(starts, 0, 1);
    if (failStart === true) throw new Error('cannot start');
    const seen: number[] = [];
    return {
      add: (n) => void seen.push(n),
      seen: () => seen,
      thread: () => threadId,
      refuse() {
        throw new Refusal('NOT_TODAY', 'come back tomorrow', { path: 'day', fix: 'wait' });
      },
      echo: (what) => what ?? (() => undefined),
      drop: () => undefined,
      hold: () => void Atomics.wait(gate, 0, 0),
      crash(why) {
        throw new RangeError(why);
      },
      crashAsked() {
        throw new RangeError('asked for it');
      },
      throwLater: () =>
        void setImmediate(() => {
          throw new Error('nobody caught it');
        }),
      exit: (code) => process.exit(code),
      leave: () => context.stop(),
    };
  },
});

export const notAnActor = 7;
