import { describe, expect, it } from 'vitest';
import { TimerWheel, WheelTimer } from '#runtime/kernel/timer-wheel.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';

class Recorded extends WheelTimer {
  readonly name: string;
  readonly #onExpire: (timer: Recorded) => void;

  constructor(name: string, onExpire: (timer: Recorded) => void) {
    super();
    this.name = name;
    this.#onExpire = onExpire;
  }

  override expire(): void {
    this.#onExpire(this);
  }
}

function setting(seed = 1): { host: VirtualHost; wheel: TimerWheel; fired: string[]; timer: (name: string) => Recorded } {
  const host = virtualHost(seed);
  const fired: string[] = [];
  const timer = (name: string): Recorded => new Recorded(name, ({ name: own }) => fired.push(`${own}@${host.clock.now()}`));
  return { host, wheel: new TimerWheel(host), fired, timer };
}

describe('the timer wheel', () => {
  it.each([1, 2, 10, 1_023, 1_024, 1_025, 5_000, 86_400_000])('expires after %i ms, not before', async (ms) => {
    const { host, wheel, fired, timer } = setting();
    wheel.schedule(timer('t'), ms);
    await host.advance(ms - 1);
    expect(fired).toEqual([]);
    await host.advance(1);
    expect(fired).toEqual([`t@${1_000 + ms}`]);
    expect(wheel.size).toBe(0);
    expect(host.pendingTimers).toBe(0);
  });

  it('rounds up to whole milliseconds', async () => {
    const { host, wheel, fired, timer } = setting();
    await host.advance(0.4);
    wheel.schedule(timer('t'), 1.2);
    await host.advance(1.2);
    expect(fired).toEqual([]);
    await host.advance(0.4);
    expect(fired).toEqual(['t@1002']);
  });

  it('uses one timer of the scheduler for all, and none when nothing is pending', async () => {
    const { host, wheel, timer } = setting();
    expect(host.pendingTimers).toBe(0);
    const timers = Array.from({ length: 500 }, (_, i) => timer(`t${i}`));
    timers.forEach((each, i) => {
      wheel.schedule(each, 5_000 - i * 7);
    });
    expect(host.pendingTimers).toBe(1);
    await host.advance(5_000);
    expect(wheel.size).toBe(0);
    expect(host.pendingTimers).toBe(0);
  });

  it('does not set the scheduler anew for each deadline that is later than the first', () => {
    const { host, wheel, timer } = setting();
    let set = 0;
    const counting = new TimerWheel({
      ...host,
      scheduler: {
        ...host.scheduler,
        after: (ms, run) => {
          set++;
          return host.scheduler.after(ms, run);
        },
      },
    });
    for (let i = 0; i < 1_000; i++) {
      const ask = timer(`ask${i}`);
      counting.schedule(ask, 1_000);
      counting.cancel(ask);
    }
    expect(set).toBe(1);
    counting.close();
    wheel.close();
    expect(host.pendingTimers).toBe(0);
  });

  it('lets a cancelled timer rest', async () => {
    const { host, wheel, fired, timer } = setting();
    const [near, far, kept] = [timer('near'), timer('far'), timer('kept')];
    wheel.schedule(near, 10);
    wheel.schedule(far, 10_000);
    wheel.schedule(kept, 20);
    wheel.cancel(near);
    wheel.cancel(near);
    wheel.cancel(far);
    await host.advance(20_000);
    expect(fired).toEqual(['kept@1020']);
    expect(host.pendingTimers).toBe(0);
  });

  it('moves a timer that is scheduled again', async () => {
    const { host, wheel, fired, timer } = setting();
    const moved = timer('moved');
    wheel.schedule(moved, 10);
    wheel.schedule(moved, 3_000);
    await host.advance(3_000);
    expect(fired).toEqual(['moved@4000']);
  });

  it('lets expiring timers schedule and cancel others', async () => {
    const { host, wheel, fired, timer } = setting();
    const victim = timer('victim');
    const again = new Recorded('again', (self) => {
      fired.push(`again@${host.clock.now()}`);
      wheel.cancel(victim);
      if (fired.length < 3) wheel.schedule(self, 1_024);
    });
    wheel.schedule(again, 5);
    wheel.schedule(victim, 5);
    await host.advance(10_000);
    expect(fired).toEqual(['again@1005', 'again@2029', 'again@3053']);
  });

  it('expires in order of deadline, then of scheduling, when it wakes late', () => {
    const { host, wheel, fired, timer } = setting();
    for (const [name, ms] of [
      ['c', 7_000],
      ['a', 3],
      ['d', 7_000],
      ['e', 9_999],
      ['b', 2_000],
    ] as const)
      wheel.schedule(timer(name), ms);
    wheel.advance(host.clock.now() + 20_000);
    expect(fired.map((each) => each[0])).toEqual(['a', 'b', 'c', 'd', 'e']);
    wheel.close();
    expect(host.pendingTimers).toBe(0);
  });

  it('forgets everything when it is closed', async () => {
    const { host, wheel, fired, timer } = setting();
    for (const ms of [1, 1, 1, 500, 5_000, 5_000, 50_000]) wheel.schedule(timer('t'), ms);
    wheel.close();
    expect(wheel.size).toBe(0);
    expect(host.pendingTimers).toBe(0);
    await host.advance(100_000);
    expect(fired).toEqual([]);
  });

  it.each([1, 2, 3, 4, 5, 6])('does what a sorted list does (seed %i)', async (seed) => {
    const { host, wheel } = setting(seed);
    const random = seededRandom(seed);
    const fired: string[] = [];
    const expected: string[] = [];
    const model: { timer: Recorded; due: number; order: number }[] = [];
    const forget = (timer: Recorded): void => {
      const at = model.findIndex((entry) => entry.timer === timer);
      if (at >= 0) model.splice(at, 1);
    };
    for (let step = 0; step < 1_500; step++) {
      const dice = random();
      if (dice < 0.6) {
        const timer = new Recorded(`t${step}`, ({ name }) => fired.push(`${name}@${host.clock.now()}`));
        const ms = Math.ceil(random() ** 3 * 6_000) || 1;
        wheel.schedule(timer, ms);
        model.push({ timer, due: host.clock.now() + ms, order: step });
      } else if (dice < 0.75) {
        const entry = model[Math.floor(random() * model.length)];
        if (entry !== undefined) {
          wheel.cancel(entry.timer);
          forget(entry.timer);
        }
      } else {
        const end = host.clock.now() + Math.floor(random() ** 2 * 3_000);
        const due = model.filter((entry) => entry.due <= end).toSorted((a, b) => a.due - b.due || a.order - b.order);
        for (const entry of due) {
          expected.push(`${entry.timer.name}@${entry.due}`);
          forget(entry.timer);
        }
        await host.advance(end - host.clock.now());
        expect(fired).toEqual(expected);
        expect(wheel.size).toBe(model.length);
      }
    }
    wheel.close();
    expect(host.pendingTimers).toBe(0);
  });
});
