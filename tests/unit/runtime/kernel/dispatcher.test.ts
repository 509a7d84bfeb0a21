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

const UNTIMED: Timekeeper = { began: () => undefined, ended: () => undefined, resumed: () => undefined, slow: () => undefined };

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
    const { host, time, microtasks } = byHand();
    const dispatcher = new Dispatcher(host, UNTIMED);
    const stretches: number[] = [];
    const quick = runnable((most) => {
      stretches.push(most);
      if (stretches.length < 9) dispatcher.ready(quick);
      return most;
    });
    dispatcher.ready(quick);
    microtasks[0]?.();
    expect(stretches).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64]);
    expect(time.reads).toBe(10);
  });

  it('yields after each message that takes longer than the slice, and tells of those over 50 ms', () => {
    const { host, time, microtasks, yields } = byHand();
    const told: [number, number][] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, slow: (messages, ms) => told.push([messages, ms]) });
    let turns = 0;
    const slow = runnable(() => {
      turns++;
      time.now += turns * 20;
      dispatcher.ready(slow);
    });
    dispatcher.ready(slow);
    microtasks[0]?.();
    expect(turns).toBe(1);
    for (let i = 0; i < 3; i++) yields[i]?.();
    expect(turns).toBe(4);
    expect(yields).toHaveLength(4);
    expect(told).toEqual([
      [1, 60],
      [1, 80],
    ]);
  });

  it('goes message by message again once a stretch was slow', () => {
    const { host, time, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, UNTIMED);
    const stretches: number[] = [];
    const growing = runnable((most) => {
      stretches.push(most);
      if (stretches.length >= 4) time.now += 0.5;
      if (stretches.length < 8) dispatcher.ready(growing);
      return most;
    });
    dispatcher.ready(growing);
    microtasks[0]?.();
    expect(yields).toHaveLength(0);
    expect(stretches).toEqual([1, 2, 4, 8, 1, 1, 1, 1]);
  });

  it('times the messages after a slow stretch one by one, to find the culprit', () => {
    const { host, time, microtasks, yields } = byHand();
    const told: number[] = [];
    const dispatcher = new Dispatcher(host, { ...UNTIMED, slow: (messages) => told.push(messages) });
    let turns = 0;
    const seldom = runnable(() => {
      turns++;
      if (turns === 6 || turns === 200) time.now += 70;
      if (turns < 300) dispatcher.ready(seldom);
    });
    dispatcher.ready(seldom);
    microtasks[0]?.();
    for (const resume of yields) resume();
    expect(told).toEqual([4, 1]);
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
