import { describe, expect, it } from 'vitest';
import { defineActor } from '#runtime/kernel/actor.ts';
import { ask, protocol } from '#runtime/kernel/protocol.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { realHost } from '#runtime/host.ts';

const Echo = protocol('echo', { echo: ask<string, string>(), later: ask<number, string>() });

describe('the real host', () => {
  it('has a monotonic clock, a calendar and random numbers', () => {
    const host = realHost();
    const before = host.clock.now();
    expect(host.clock.now()).toBeGreaterThanOrEqual(before);
    expect(Math.abs(host.clock.wall() - Date.now())).toBeLessThan(1_000);
    const drawn = Array.from({ length: 100 }, () => host.random());
    expect(drawn.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(new Set(drawn).size).toBeGreaterThan(90);
  });

  it('runs microtasks before, and yields after, what the event loop has to do', async () => {
    const { scheduler } = realHost();
    const order: string[] = [];
    const yielded = new Promise<void>((resolve) => {
      scheduler.yieldThen(() => {
        order.push('yield');
        resolve();
      });
    });
    scheduler.microtask(() => void order.push('microtask'));
    order.push('sync');
    await yielded;
    expect(order).toEqual(['sync', 'microtask', 'yield']);
  });

  it('never fires a timer early, and not at all when it is cancelled', async () => {
    const { clock, scheduler } = realHost();
    const cancelled: string[] = [];
    scheduler.after(1, () => void cancelled.push('fired')).cancel();
    for (const ms of [0, 0.3, 1, 1.7, 4.2]) {
      const start = clock.now();
      await new Promise<void>((resolve) => {
        scheduler.after(ms, resolve);
      });
      expect(clock.now() - start).toBeGreaterThanOrEqual(ms);
    }
    expect(cancelled).toEqual([]);
  });

  it('keeps timers that are longer than Node can count, instead of firing them at once', async () => {
    const { scheduler } = realHost();
    const fired: string[] = [];
    const long = scheduler.after(2 ** 40, () => void fired.push('far too early'));
    await new Promise<void>((resolve) => {
      scheduler.after(5, resolve);
    });
    long.cancel();
    expect(fired).toEqual([]);
  });

  it('carries an actor system', async () => {
    const host = realHost();
    const later = (ms: number): Promise<string> =>
      new Promise((resolve) => {
        host.scheduler.after(ms, () => {
          resolve('later');
        });
      });
    const actor = defineActor({ protocol: Echo, start: () => ({ echo: (text) => text, later }) });
    const system = createSystem({ name: 'real', host });
    const ref = system.spawn({ id: 'echo', actor, restart: 'permanent' });
    expect(await ref.echo('hello', { timeoutMs: 1_000 })).toBe('hello');
    await expect(ref.later(5, { timeoutMs: 1 })).rejects.toMatchObject({ code: 'ASK_TIMEOUT' });
    await system.shutdown();
    expect(system.inspect()).toMatchObject({ state: 'stopped', children: [] });
    expect(system.accounting()).toMatchObject({ sent: 2, queued: 0 });
  });
});
