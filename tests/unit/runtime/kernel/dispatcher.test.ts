import { describe, expect, it } from 'vitest';
import { Dispatcher } from '#runtime/kernel/dispatcher.ts';
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

describe('the dispatcher', () => {
  it('is kicked once, by a microtask, and runs in order of readiness', () => {
    const { host, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, () => undefined);
    const ran: number[] = [];
    for (let i = 0; i < 1_500; i++) dispatcher.ready({ run: () => ran.push(i) });
    expect(ran).toEqual([]);
    expect(microtasks).toHaveLength(1);
    microtasks[0]?.();
    expect(ran).toEqual(Array.from({ length: 1_500 }, (_, i) => i));
    expect(yields).toHaveLength(0);
    dispatcher.ready({ run: () => ran.push(-1) });
    expect(microtasks).toHaveLength(2);
  });

  it('yields after 2,048 turns and tells the time then', () => {
    const { host, time, microtasks, yields } = byHand();
    const yielded: number[] = [];
    const dispatcher = new Dispatcher(host, (now) => yielded.push(now));
    let turns = 0;
    const busy = {
      run: () => {
        turns++;
        dispatcher.ready(busy);
      },
    };
    dispatcher.ready(busy);
    microtasks[0]?.();
    expect(turns).toBe(2_048);
    expect(yields).toHaveLength(1);
    time.now = 77;
    yields[0]?.();
    expect(yielded).toEqual([77]);
    expect(turns).toBe(4_096);
    expect(microtasks).toHaveLength(1);
  });

  it('yields when 2 ms have passed, reading the clock every 64 turns only', () => {
    const { host, time, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, () => undefined);
    let turns = 0;
    const slow = {
      run: () => {
        turns++;
        time.now += 0.02;
        dispatcher.ready(slow);
      },
    };
    dispatcher.ready(slow);
    microtasks[0]?.();
    // The slice begins with the first reading (turn 64); 2 ms are 100 turns; the next reading after that is at turn 192.
    expect(turns).toBe(192);
    expect(time.reads).toBe(3);
    expect(yields).toHaveLength(1);
  });

  it('does not need a second kick for what becomes ready while it yields', () => {
    const { host, microtasks, yields } = byHand();
    const dispatcher = new Dispatcher(host, () => undefined);
    let ran = false;
    let turns = 0;
    const busy = {
      run: () => {
        if (++turns <= 2_048) dispatcher.ready(busy);
      },
    };
    dispatcher.ready(busy);
    microtasks[0]?.();
    dispatcher.ready({
      run: () => {
        ran = true;
      },
    });
    expect(microtasks).toHaveLength(1);
    yields[0]?.();
    expect(ran).toBe(true);
  });
});
