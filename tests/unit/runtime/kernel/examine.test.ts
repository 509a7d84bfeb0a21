import { describe, expect, it } from 'vitest';
import { defineActor } from '#runtime/kernel/actor.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { SlowReport } from '#runtime/kernel/slow-report.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { withSystem } from '#tests/support/actors.ts';
import { probeActor, type ProbeRef } from '#tests/support/probe-actor.ts';

const Counter = protocol('counter', { add: tell<number>(), crash: tell() });
const counter = defineActor<typeof Counter>({
  protocol: Counter,
  start(context) {
    let total = 0;
    context.showState(() => ({ total }));
    return {
      add: (n) => void (total += n),
      crash: () => {
        throw new Error('boom');
      },
    };
  },
});
const SOON = { timeoutMs: 100 };

describe('an examination', () => {
  it('shows the state and the messages since the first look, for a minute', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: counter });
      ref.add(1);
      const first = system.examine(ref, SOON);
      await host.settle();
      expect(await first).toMatchObject({ report: { path: '/a' }, recent: [] });
      for (let n = 0; n < 40; n++) ref.add(1);
      await host.settle();
      const second = system.examine(ref, SOON);
      await host.settle();
      const { state, recent } = await second;
      expect(state).toEqual({ total: 41 });
      expect(recent).toHaveLength(32);
      expect(recent[0]).toEqual({ message: 'add', at: host.clock.wall() });
      await host.advance(60_000);
      ref.add(1);
      await host.settle();
      const third = system.examine(ref, SOON);
      await host.settle();
      expect(await third).toMatchObject({ state: { total: 42 }, recent: [] });
    });
  });

  it('goes on over a restart', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: counter });
      void system.examine(ref, SOON);
      await host.settle();
      ref.crash();
      ref.add(5);
      await host.settle();
      expect(system.inspect().children[0]).toMatchObject({ state: 'waiting', mailbox: { depth: 1 } });
      expect(system.inspect().children[0]?.restartsInMs).toBeGreaterThan(0);
      await host.advance(100);
      expect(system.inspect().children[0]).not.toHaveProperty('restartsInMs');
      const later = system.examine(ref, SOON);
      await host.settle();
      expect(await later).toMatchObject({ state: { total: 5 }, recent: [{ message: 'crash' }, { message: 'add' }] });
      expect(takeCrashes()).toHaveLength(1);
    });
  });

  it('ends when the actor is busy for too long, and when it has ended', async () => {
    await withSystem(async ({ host, system }) => {
      const ref: ProbeRef = system.spawn({ id: 'a', restart: 'temporary', shutdownMs: 10, actor: probeActor({ log: [] }) });
      ref.wait(new Promise(() => undefined));
      await host.settle();
      const outcome = system.examine(ref, SOON).catch((error: unknown) => error);
      await host.advance(100);
      expect(await outcome).toMatchObject({ code: 'ASK_TIMEOUT' });
      void system.stop(ref);
      await host.advance(20);
      await expect(system.examine(ref, SOON)).rejects.toMatchObject({ code: 'ACTOR_CLOSED' });
    });
  });
});

describe('code that holds the thread for more than 50 ms', () => {
  it('is named: actor, message or activity, and time', async () => {
    const host = virtualHost(1);
    let lost = 0;
    const reports: SlowReport[] = [];
    const slowed = { ...host, clock: { ...host.clock, now: () => host.clock.now() + lost } };
    const system = createSystem({ name: 'test', host: slowed, onSlow: (report) => reports.push(report) });
    const ref: ProbeRef = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log: [] }) });
    await host.settle();
    ref.act(() => void (lost += 40));
    await host.settle();
    ref.act(() => void (lost += 60));
    await host.settle();
    ref.act(async () => {
      lost += 70;
      await Promise.resolve();
    });
    await host.settle();
    ref.act((context) => void context.after(0, () => void (lost += 80)));
    await host.settle();
    expect(reports).toMatchObject([
      { path: '/a', protocol: 'probe', activity: 'message', message: 'act', ms: 60, among: 1 },
      { path: '/a', activity: 'message', message: 'act', ms: 70, among: 1 },
      { path: '/a', activity: 'timer', ms: 80, among: 1 },
    ]);
    const shutdown = system.shutdown();
    await host.advance(1_000);
    await shutdown;
    expect(host.pendingTimers).toBe(0);
  });
});

describe('a receive timeout', () => {
  it('calls back once for each pause, and lets an actor go', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref: ProbeRef = system.spawn({ id: 'a', restart: 'transient', actor: probeActor({ log }) });
      ref.act((context) => {
        context.whenIdle(100, () => {
          log.push('idle');
          if (log.filter((line) => line === 'idle').length === 2) context.stop();
        });
      });
      for (let n = 0; n < 5; n++) {
        await host.advance(60);
        ref.note('x');
      }
      expect(log).not.toContain('idle');
      await host.advance(1_000);
      expect(log.filter((line) => line === 'idle')).toHaveLength(1);
      ref.note('x');
      await host.advance(1_000);
      expect(log.slice(-2)).toEqual(['idle', '-a']);
      expect(system.inspect().children).toEqual([]);
    });
  });
});

describe('a child without an id', () => {
  it('is named when somebody asks, and keeps the name', async () => {
    await withSystem(async ({ host, system }) => {
      const nameless = (): ProbeRef => system.spawn({ restart: 'temporary', actor: probeActor({ log: [] }) });
      const [one, two] = [nameless(), nameless()];
      system.spawn({ id: 'named', restart: 'temporary', actor: probeActor({ log: [] }) });
      await host.settle();
      expect([one.path, two.path, one.path]).toEqual(['/$1', '/$2', '/$1']);
      expect(system.inspect().children.map(({ path }) => path)).toEqual(['/$1', '/$2', '/named']);
      one.stop();
      await host.settle();
      expect(system.inspect().children.map(({ path }) => path)).toEqual(['/$2', '/named']);
      expect(() => system.spawn({ id: '$3', restart: 'temporary', actor: probeActor({ log: [] }) })).toThrow(
        "cannot have a child named '$3'",
      );
    });
  });
});
