import { describe, expect, it } from 'vitest';
import { Dispatcher, type Runnable, type Timekeeper } from '#runtime/kernel/dispatcher.ts';
import type { Host } from '#runtime/kernel/host.ts';

/** A host whose scheduling is done by hand. */
function byHand(): { host: Host; time: { now: number; reads: number }; microtasks: (() => void)[]; yields: (() => void)[] } {
  const time = { now: 0, reads: 0 };
  const microtasks: (() => void)[] = [];
  const yields: (() => void)[] = [];
  const host: Host = {
    clock: {
      now: () => {
        time.reads++;
        return time.now;
      },
      wall: () => 0,
    },
    random: () => 0,
    scheduler: {
      microtask: (run) => {
        microtasks.push(run);
      },
      yieldThen: (run) => {
        yields.push(run);
      },
      after: () => ({ cancel: () => undefined }),
    },
  };
  return { host, time, microtasks, yields };
}

const UNTIMED: Timekeeper = { resumed: () => undefined, stretched: () => undefined };

/** Takes turns; each may say how many messages it handled. */
function runnable(turn: (most: number) => number | undefined | void): Runnable {
  return { nextReady: null, run: (most) => turn(most) ?? 1 };
}

describe('the dispatcher', () => {
  it('is kicked once, by a microtask, and runs in order of readiness', () => {
    const { host, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, UNTIMED);
    const ran: number[] = [];
    for (let i = 0; i < 1_500; i++) dispatcher.ready(runnable(() => void ran.push(i)));
    expect(ran).toEqual([]);
    expect(microtasks).toHaveLength(1);
    microtasks[0]?.();
    expect(ran).toEqual(Array.from({ length: 1_500 }, (_, i) => i));
    expect(yields).toHaveLength(0);
    dispatcher.ready(runnable(() => void ran.push(-1)));
    expect(microtasks).toHaveLength(2);
  });

  it('yields after 8,192 messages and tells the time then', () => {
    const { host, time, microtasks, yields } = byHand();
    const resumed: number[] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, resumed: (now) => resumed.push(now) });
    let handled = 0;
    const busy = runnable((most) => {
      handled += most;
      dispatcher.ready(busy);
      return most;
    });
    dispatcher.ready(busy);
    microtasks[0]?.();
    // The last stretch is finished.
    expect(handled).toBeGreaterThanOrEqual(8_192);
    expect(handled).toBeLessThan(8_192 + 64);
    expect(yields).toHaveLength(1);
    time.now = 77;
    yields[0]?.();
    expect(resumed).toEqual([77]);
    expect(handled).toBeLessThan(2 * (8_192 + 64));
    expect(yields).toHaveLength(2);
    expect(microtasks).toHaveLength(1);
  });

  it('looks at the clock after 1, 2, 4 … 64 messages while they are quick', () => {
    const { host, microtasks } = byHand();
    const stretches: number[] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, stretched: (messages) => stretches.push(messages) });
    let turns = 0;
    const quick = runnable(() => {
      if (++turns < 300) dispatcher.ready(quick);
    });
    dispatcher.ready(quick);
    microtasks[0]?.();
    expect(stretches).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64, 45]);
  });

  it('yields after each message that takes longer than the slice', () => {
    const { host, time, microtasks, yields } = byHand();
    const took: number[] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, stretched: (messages, ms) => took.push(messages, ms) });
    let turns = 0;
    const slow = runnable(() => {
      turns++;
      time.now += 20;
      dispatcher.ready(slow);
    });
    dispatcher.ready(slow);
    microtasks[0]?.();
    expect(turns).toBe(1);
    yields[0]?.();
    expect(turns).toBe(2);
    expect(yields).toHaveLength(2);
    expect(took).toEqual([1, 20, 1, 20]);
  });

  it('goes message by message again once a stretch was slow', () => {
    const { host, time, microtasks, yields } = byHand();
    const stretches: number[] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, stretched: (messages) => stretches.push(messages) });
    let turns = 0;
    const growing = runnable(() => {
      if (++turns >= 10) time.now += 0.5;
      dispatcher.ready(growing);
    });
    dispatcher.ready(growing);
    microtasks[0]?.();
    // Turns 8 to 15 took 3 ms in all, and the slice is 2.
    expect(stretches).toEqual([1, 2, 4, 8]);
    yields[0]?.();
    expect(stretches.slice(4)).toEqual([1, 1, 1, 1, 1]);
  });

  it('does not need a second kick for what becomes ready while it yields', () => {
    const { host, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, UNTIMED);
    let ran = false;
    let turns = 0;
    const busy = runnable((most) => {
      if (++turns <= 8_192) dispatcher.ready(busy);
      return most;
    });
    dispatcher.ready(busy);
    microtasks[0]?.();
    dispatcher.ready(runnable(() => void (ran = true)));
    expect(microtasks).toHaveLength(1);
    yields[0]?.();
    expect(ran).toBe(true);
  });
});
