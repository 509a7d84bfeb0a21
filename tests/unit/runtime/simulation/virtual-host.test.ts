import { describe, expect, it } from 'vitest';
import { seededRandom } from '#runtime/simulation/random.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

describe('the virtual host', () => {
  it('stands still until it is advanced', async () => {
    const host = virtualHost(1);
    const [now, wall] = [host.clock.now(), host.clock.wall()];
    await host.settle();
    expect([host.clock.now(), host.clock.wall()]).toEqual([now, wall]);
    await host.advance(1_234.5);
    expect([host.clock.now(), host.clock.wall()]).toEqual([now + 1_234.5, wall + 1_234]);
  });

  it('fires timers when they are due, in order, at their own time', async () => {
    const host = virtualHost(1);
    const fired: string[] = [];
    const start = host.clock.now();
    const note = (name: string) => () => void fired.push(`${name}@${host.clock.now() - start}`);
    host.scheduler.after(30, note('c'));
    host.scheduler.after(10, note('a'));
    host.scheduler.after(10, note('b'));
    host.scheduler.after(31, note('d'));
    const cancelled = host.scheduler.after(20, note('cancelled'));
    cancelled.cancel();
    cancelled.cancel();
    await host.advance(30);
    expect(fired).toEqual(['a@10', 'b@10', 'c@30']);
    expect(host.pendingTimers).toBe(1);
    await host.advance(1);
    expect(fired.at(-1)).toBe('d@31');
    expect(host.pendingTimers).toBe(0);
  });

  it('fires timers that timers set, if they are due too', async () => {
    const host = virtualHost(1);
    const fired: number[] = [];
    const again = (): void => {
      fired.push(host.clock.now());
      if (fired.length < 5) host.scheduler.after(10, again);
    };
    host.scheduler.after(10, again);
    await host.advance(35);
    expect(fired).toEqual([1_010, 1_020, 1_030]);
    await host.advance(100);
    expect(fired).toHaveLength(5);
    expect(host.pendingTimers).toBe(0);
  });

  it('settles what promises, microtasks and yields lead to before time goes on', async () => {
    const host = virtualHost(1);
    const log: string[] = [];
    const chain = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      log.push(`chain@${host.clock.now()}`);
      host.scheduler.yieldThen(() => {
        host.scheduler.microtask(() => void log.push(`after the yield@${host.clock.now()}`));
      });
    };
    host.scheduler.after(5, () => void chain());
    host.scheduler.after(6, () => void log.push(`next timer@${host.clock.now()}`));
    await host.advance(10);
    expect(log).toEqual(['chain@1005', 'after the yield@1005', 'next timer@1006']);
  });

  it('can freeze: what fell due runs late, in order', async () => {
    const host = virtualHost(1);
    const fired: string[] = [];
    host.scheduler.after(20, () => void fired.push(`b@${host.clock.now()}`));
    host.scheduler.after(10, () => void fired.push(`a@${host.clock.now()}`));
    await host.freeze(1_000);
    expect(fired).toEqual(['a@2000', 'b@2000']);
    expect(host.pendingTimers).toBe(0);
  });

  it('can skew the calendar without touching durations', async () => {
    const host = virtualHost(1);
    const wall = host.clock.wall();
    host.skewWall(-5_000);
    await host.advance(1);
    expect(host.clock.wall()).toBe(wall - 4_999);
    expect(host.clock.now()).toBe(1_001);
  });

  it('refuses a timer of NaN ms', () => {
    expect(() => virtualHost(1).scheduler.after(Number.NaN, () => undefined)).toThrow(RangeError);
  });

  it('gives the same random numbers for the same seed', () => {
    const draw = (seed: number): number[] => {
      const host = virtualHost(seed);
      return Array.from({ length: 20 }, () => host.random());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });
});

describe('seeded random numbers', () => {
  it.each([0, 1, 42, 2 ** 31, 2 ** 32 - 1, -1])('are uniform in [0, 1) (seed %d)', (seed) => {
    const random = seededRandom(seed);
    const buckets = Array.from({ length: 10 }, () => 0);
    let sum = 0;
    for (let i = 0; i < 10_000; i++) {
      const value = random();
      expect(value >= 0 && value < 1).toBe(true);
      buckets[Math.floor(value * 10)] = (buckets[Math.floor(value * 10)] ?? 0) + 1;
      sum += value;
    }
    expect(sum / 10_000).toBeCloseTo(0.5, 1);
    for (const bucket of buckets) expect(Math.abs(bucket - 1_000)).toBeLessThan(150);
  });
});
