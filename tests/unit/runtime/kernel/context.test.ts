import { describe, expect, it } from 'vitest';
import type { Settled, Termination, Timer } from '#runtime/kernel/actor.ts';
import { ActorRef } from '#runtime/kernel/ref.ts';
import { withSystem } from '#tests/support/actors.ts';
import { probeActor } from '#tests/support/probe-actor.ts';

describe('timers', () => {
  it('after calls back once, every again and again, in the turn of the actor', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const at = (what: string) => () => void log.push(`${what}@${host.clock.now()}`);
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      await host.settle();
      log.length = 0;
      ref.act((context) => {
        context.after(25, at('once'));
        context.every(10, at('beat'));
      });
      await host.advance(40);
      expect(log).toEqual(['beat@1010', 'beat@1020', 'once@1025', 'beat@1030', 'beat@1040']);
    });
  });

  it('never call back while a handler is at work; a beat that waits does not wait twice', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.act((context) => void context.every(10, () => void log.push(`beat@${context.clock.now()}`)));
      ref.wait(promise);
      await host.advance(35);
      expect(log).toEqual(['+a']);
      resolve('handled');
      await host.advance(5);
      expect(log).toEqual(['+a', 'a:handled', 'beat@1035', 'beat@1040']);
    });
  });

  it('skip the beats that were missed while the whole process stood still', async () => {
    await withSystem(async ({ host, system }) => {
      const beats: number[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log: [] }) });
      ref.act((context) => void context.every(10, () => void beats.push(context.clock.now())));
      await host.settle();
      await host.freeze(105);
      await host.advance(15);
      expect(beats).toEqual([1_105, 1_110, 1_120]);
    });
  });

  it('can be cancelled, also when they are due already', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const timers: Timer[] = [];
      ref.act((context) => {
        timers.push(context.after(5, () => void log.push('early')));
        const beat = context.every(10, () => {
          log.push('beat');
          beat.cancel();
        });
        const due = context.after(0, () => void log.push('due'));
        due.cancel();
        due.cancel();
      });
      await host.settle();
      for (const timer of timers) timer.cancel();
      await host.advance(100);
      expect(log).toEqual(['+a', 'beat']);
    });
  });

  it('end with the incarnation', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      ref.act((context) => {
        context.after(1_000, () => void log.push('after'));
        context.every(10, () => void log.push('beat'));
      });
      ref.crash('boom');
      await host.advance(5_000);
      expect(log).toEqual(['+a', '-a', '+a']);
      expect(takeCrashes()).toHaveLength(1);
    });
  });

  it('that throw crash the actor; no message is lost', async () => {
    await withSystem(async ({ host, system, takeCrashes, deadLetters }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      ref.act((context) => {
        context.after(10, () => {
          throw new Error('tick');
        });
        context.after(200, () => Promise.reject(new Error('tock')));
      });
      await host.advance(10);
      ref.note('waits');
      await host.advance(500);
      expect(log).toEqual(['+a', '-a', '+a', 'a:waits']);
      expect(takeCrashes()).toMatchObject([{ activity: 'timer', error: { message: 'tick' } }]);
      expect(deadLetters).toEqual([]);
    });
  });

  it.each([Number.NaN, Infinity, -1, 0])('every %d ms is a mistake', async (ms) => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const ref = system.spawn({ id: 'a', restart: 'temporary', actor: probeActor({ log: [] }) });
      ref.act((context) => void context.every(ms, () => undefined));
      await host.settle();
      expect(takeCrashes()).toMatchObject([{ error: { name: 'RangeError' } }]);
    });
  });
});

describe('pipe', () => {
  it('calls back in the turn of the actor without blocking the mailbox', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const results: Settled<string>[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const [good, bad, handler] = [Promise.withResolvers<string>(), Promise.withResolvers<string>(), Promise.withResolvers<string>()];
      ref.act((context) => {
        context.pipe(good.promise, (result) => void results.push(result));
        context.pipe(bad.promise, (result) => void results.push(result));
      });
      ref.note('not blocked');
      ref.wait(handler.promise);
      await host.settle();
      expect(log).toEqual(['+a', 'a:not blocked']);
      const error = new Error('bad');
      bad.reject(error);
      good.resolve('good');
      await host.settle();
      expect(results).toEqual([]);
      handler.resolve('handled');
      await host.settle();
      expect(results).toEqual([
        { ok: false, error },
        { ok: true, value: 'good' },
      ]);
    });
  });

  it('is dropped when the actor has restarted or ended meanwhile', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const works = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
      for (const { promise } of works)
        ref.act((context) => {
          context.pipe(promise, () => void log.push('never'));
        });
      ref.crash('boom');
      await host.advance(100);
      works[0]?.resolve('x');
      works[1]?.reject(new Error('x'));
      await host.settle();
      expect(log).toEqual(['+a', '-a', '+a']);
      expect(takeCrashes()).toHaveLength(1);
    });
  });

  it('crashes the actor when its callback throws', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const ref = system.spawn({ id: 'a', restart: 'temporary', actor: probeActor({ log: [] }) });
      ref.act((context) => {
        context.pipe(Promise.resolve(1), () => {
          throw new Error('in the callback');
        });
      });
      await host.settle();
      expect(takeCrashes()).toMatchObject([{ activity: 'pipe', outcome: 'stop' }]);
    });
  });
});

describe('watch', () => {
  it.each([
    ['stopped', 'stop'],
    ['crashed', 'crash'],
    ['shutdown', 'order'],
  ] as const)('tells once that the other has %s', async (reason, by) => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const seen: Termination[] = [];
      const watcher = system.spawn({ id: 'watcher', restart: 'permanent', actor: probeActor({ log: [] }) });
      const watched = system.spawn({ id: 'watched', restart: 'temporary', actor: probeActor({ log: [] }) });
      watcher.act((context) => void context.watch(watched, (termination) => void seen.push(termination)));
      await host.settle();
      expect(seen).toEqual([]);
      if (by === 'stop') watched.stop();
      else if (by === 'crash') watched.crash('boom');
      else await system.stop(watched);
      await host.advance(1_000);
      expect(seen).toMatchObject([{ path: '/watched', reason }]);
      expect(takeCrashes()).toHaveLength(by === 'crash' ? 1 : 0);
      if (by === 'crash') expect(seen[0]?.error).toMatchObject({ message: 'boom' });
    });
  });

  it('tells of one that has ended before, once', async () => {
    await withSystem(async ({ host, system }) => {
      const seen: Termination[] = [];
      const watcher = system.spawn({ id: 'watcher', restart: 'permanent', actor: probeActor({ log: [] }) });
      const watched = system.spawn({ id: 'watched', restart: 'temporary', actor: probeActor({ log: [] }) });
      watched.stop();
      await host.settle();
      watcher.act((context) => {
        context.watch(watched, (termination) => void seen.push(termination));
        expect(seen).toEqual([]);
      });
      await host.advance(1_000);
      expect(seen).toEqual([{ path: '/watched', reason: 'stopped' }]);
    });
  });

  it('says nothing about a restart', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const seen: Termination[] = [];
      const watcher = system.spawn({ id: 'watcher', restart: 'permanent', actor: probeActor({ log: [] }) });
      const watched = system.spawn({ id: 'watched', restart: 'permanent', actor: probeActor({ log: [] }) });
      watcher.act((context) => void context.watch(watched, (termination) => void seen.push(termination)));
      watched.crash('boom');
      await host.advance(1_000);
      expect(takeCrashes()).toHaveLength(1);
      expect(seen).toEqual([]);
      await system.stop(watched);
      await host.settle();
      expect(seen).toEqual([{ path: '/watched', reason: 'shutdown' }]);
    });
  });

  it('can be taken back until the very last moment', async () => {
    await withSystem(async ({ host, system }) => {
      const seen: string[] = [];
      const watcher = system.spawn({ id: 'watcher', restart: 'permanent', actor: probeActor({ log: [] }) });
      const watched = system.spawn({ id: 'watched', restart: 'temporary', actor: probeActor({ log: [] }) });
      const gate = Promise.withResolvers<void>();
      watcher.act(async (context) => {
        const unwatch = context.watch(watched, () => void seen.push('taken back'));
        context.watch(watched, () => void seen.push('first'));
        context.watch(watched, () => void seen.push('second'));
        await gate.promise;
        unwatch();
        unwatch();
      });
      watched.stop();
      await host.settle();
      expect(system.inspect().children.map(({ path }) => path)).toEqual(['/watcher']);
      gate.resolve();
      await host.settle();
      expect(seen).toEqual(['first', 'second']);
    });
  });

  it('ends with the incarnation of the watcher', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const seen: string[] = [];
      const watcher = system.spawn({ id: 'watcher', restart: 'permanent', actor: probeActor({ log: [] }) });
      const watched = system.spawn({ id: 'watched', restart: 'temporary', actor: probeActor({ log: [] }) });
      watcher.act((context) => void context.watch(watched, () => void seen.push('old incarnation')));
      await host.settle();
      expect(ActorRef.cellOf(watched).watcherCount).toBe(1);
      watcher.crash('boom');
      await host.advance(1_000);
      expect(ActorRef.cellOf(watched).watcherCount).toBe(0);
      watched.stop();
      await host.advance(1_000);
      expect(seen).toEqual([]);
      expect(takeCrashes()).toHaveLength(1);
    });
  });
});

describe('the context', () => {
  it('gives the clock, the random numbers and the ref of the host and actor', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log: [] }) });
      const seen: unknown[] = [];
      ref.act((context) => void seen.push(context.path, context.clock.now(), context.clock.wall(), context.random()));
      await host.advance(0);
      expect(seen.slice(0, 3)).toEqual(['/a', host.clock.now(), host.clock.wall()]);
      expect(seen[3]).toBeGreaterThanOrEqual(0);
      expect(seen[3]).toBeLessThan(1);
    });
  });
});
