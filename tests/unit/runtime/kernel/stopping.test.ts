import { describe, expect, it } from 'vitest';
import { ActorRef, type AnyRef } from '#runtime/kernel/ref.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { withSystem } from '#tests/support/actors.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

describe('shutdown', () => {
  it('ends the tree from the leaves, the last started first', async () => {
    const log: string[] = [];
    await withSystem(async ({ system }) => {
      const parent =
        (...ids: string[]): Act =>
        (context) => {
          for (const id of ids) context.spawn({ id, restart: 'permanent', actor: probeActor({ log }) });
        };
      system.spawn({ id: 'one', restart: 'permanent', actor: probeActor({ log, onStart: parent('1a', '1b') }) });
      system.spawn({ id: 'two', restart: 'permanent', actor: probeActor({ log, onStart: parent('2a', '2b') }) });
    });
    expect(log).toEqual(['+one', '+two', '+1a', '+1b', '+2a', '+2b', '-2b', '-2a', '-two', '-1b', '-1a', '-one']);
  });

  it('waits for the handler in hand, and drops what is queued with a reason', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.wait(promise);
      ref.note('queued');
      await host.settle();
      const stopped = system.stop(ref);
      expect(ref.note('late')).toBe('closed');
      await host.advance(4_999);
      expect(log).toEqual(['+a']);
      resolve('done in time');
      await stopped;
      expect(log).toEqual(['+a', 'a:done in time', '-a']);
      expect(deadLetters.map(({ payload, reason }) => [payload, reason])).toEqual([
        ['late', 'closed'],
        ['queued', 'stopped'],
      ]);
    });
  });

  it('gives a handler up after shutdownMs; its settlement is ignored', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', shutdownMs: 300, actor: probeActor({ log }) });
      const { promise, resolve } = Promise.withResolvers<string>();
      const asked = ref.waitFor(promise, { timeoutMs: 10_000 }).catch((error: unknown) => error);
      await host.settle();
      const stopped = system.stop(ref);
      await host.advance(299);
      expect(log).toEqual(['+a']);
      await host.advance(1);
      await stopped;
      expect(log).toEqual(['+a', '-a']);
      expect(await asked).toMatchObject({ code: 'ACTOR_CLOSED' });
      expect(deadLetters).toMatchObject([{ message: 'waitFor', reason: 'abandoned' }]);
      resolve('too late');
      await host.settle();
      expect(system.accounting()).toEqual({ sent: 1, handled: 0, deadLettered: 1, queued: 0, lost: 0 });
    });
  });

  it('runs cleanups in reverse order, waits for them, and survives their failures', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const log: string[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      const ref = system.spawn({
        id: 'a',
        restart: 'permanent',
        actor: probeActor({
          log,
          onStart: (context) => {
            context.onStop(() => void log.push('first registered'));
            context.onStop(() => {
              throw new Error('cleanup fails');
            });
            context.onStop(async () => {
              await promise;
              log.push('last registered');
            });
          },
        }),
      });
      await host.settle();
      const stopped = system.stop(ref);
      await host.advance(1_000);
      expect(log).toEqual(['+a', '-a']);
      resolve();
      await stopped;
      expect(log).toEqual(['+a', '-a', 'last registered', 'first registered']);
      expect(takeCrashes()).toMatchObject([{ path: '/a', activity: 'cleanup', outcome: 'stop', error: { message: 'cleanup fails' } }]);
    });
  });

  it('does not wait for cleanups longer than shutdownMs, and says so', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const ref = system.spawn({
        id: 'a',
        restart: 'permanent',
        shutdownMs: 100,
        actor: probeActor({
          log: [],
          onStart: (context) => {
            context.onStop(() => new Promise(() => undefined));
          },
        }),
      });
      await host.settle();
      const stopped = system.stop(ref);
      await host.advance(100);
      await stopped;
      expect(takeCrashes()).toMatchObject([{ activity: 'cleanup', error: { message: 'the cleanups of /a did not end within 100 ms' } }]);
    });
  });

  it('reaches an actor that waits for its restart, one that is starting, and one that never started', async () => {
    const log: string[] = [];
    await withSystem(async ({ host, system, takeCrashes }) => {
      const crashed = system.spawn({ id: 'crashed', restart: 'permanent', actor: probeActor({ log }) });
      crashed.crash('boom');
      await host.settle();
      expect(takeCrashes()).toHaveLength(1);
      system.spawn({
        id: 'starting',
        restart: 'permanent',
        shutdownMs: 50,
        actor: probeActor({ log, onStart: () => new Promise(() => undefined) }),
      });
      await host.settle();
      const fresh = system.spawn({ id: 'fresh', restart: 'permanent', actor: probeActor({ log }) });
      const stopped = Promise.all([system.stop(fresh), system.shutdown()]);
      await host.advance(50);
      await stopped;
    });
    expect(log).toEqual(['+crashed', '-crashed']);
  });

  it('of an actor that is starting lets the start settle, then cleans up, and says so only then', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const [start, cleanup] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const slow: Act = (context) => {
        context.onStop(() => cleanup.promise);
        return start.promise;
      };
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log, onStart: slow }) });
      await host.settle();
      const stopped = system.stop(ref).then(() => log.push('stopped'));
      start.resolve();
      await host.settle();
      expect(log).toEqual(['+a', '-a']);
      cleanup.resolve();
      await stopped;
      expect(log).toEqual(['+a', '-a', 'stopped']);
    });
  });

  it('happens once, however often it is asked for', async () => {
    const host = virtualHost(1);
    const system = createSystem({ name: 'test', host });
    const log: string[] = [];
    system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
    await host.settle();
    await Promise.all([system.shutdown(), system.shutdown()]);
    await system.shutdown();
    expect(log).toEqual(['+a', '-a']);
    expect(host.pendingTimers).toBe(0);
  });
});

describe('stopping a child', () => {
  it('is final, whatever its restart type; its id is free afterwards', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const spec = { id: 'kid', restart: 'permanent', actor: probeActor({ log }) } as const;
      const parent = system.spawn({
        id: 'top',
        restart: 'permanent',
        actor: probeActor({ log, onStart: (context) => void context.spawn(spec) }),
      });
      await host.settle();
      parent.act(async (context) => {
        const kid = context.child('kid');
        await context.stopChild('kid');
        expect(context.child('kid')).toBeUndefined();
        const next = context.spawn(spec);
        expect(next).not.toBe(kid);
        await context.stopChild('unknown');
      });
      await host.advance(100);
      expect(log).toEqual(['+top', '+kid', '-kid', '+kid']);
    });
  });

  it('by itself ends it after the handler in hand', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'transient', actor: probeActor({ log }) });
      const { promise, resolve } = Promise.withResolvers<void>();
      ref.act(async (context) => {
        context.stop();
        context.stop();
        await promise;
        log.push('still in hand');
      });
      await host.advance(60_000);
      expect(ref.note('late')).toBe('closed');
      expect(log).toEqual(['+a']);
      resolve();
      await host.settle();
      expect(log).toEqual(['+a', 'still in hand', '-a']);
      expect(system.inspect().children).toEqual([]);
    });
  });

  it('by itself from outside a handler ends it too', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      let stop = (): void => undefined;
      system.spawn({
        id: 'a',
        restart: 'temporary',
        actor: probeActor({
          log,
          onStart: (context) => {
            stop = () => {
              context.stop();
            };
          },
        }),
      });
      await host.settle();
      stop();
      await host.settle();
      expect(log).toEqual(['+a', '-a']);
    });
  });

  it('a permanent one that stops itself and crashes in the same breath is restarted once', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      ref.act((context) => {
        context.stop();
        throw new Error('boom');
      });
      await host.advance(1_000);
      expect(log).toEqual(['+a', '-a', '+a']);
      expect(takeCrashes()).toMatchObject([{ outcome: 'restart' }]);
    });
  });

  it('that crashes while it is being stopped is reported and stays down', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      const { promise, reject } = Promise.withResolvers<string>();
      ref.wait(promise);
      await host.settle();
      const stopped = system.stop(ref);
      reject(new Error('on the way out'));
      await stopped;
      await host.advance(1_000);
      expect(log).toEqual(['+a', '-a']);
      expect(takeCrashes()).toMatchObject([{ outcome: 'stop', error: { message: 'on the way out' } }]);
    });
  });

  it('may be ordered by the actor itself through the system: it ends when the handler is given up', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const log: string[] = [];
      const refs: AnyRef[] = [];
      const ref: ProbeRef = system.spawn({ id: 'a', restart: 'permanent', shutdownMs: 40, actor: probeActor({ log }) });
      refs.push(ref);
      ref.act(() => system.stop(refs[0] ?? ref));
      await host.advance(40);
      expect(log).toEqual(['+a', '-a']);
      expect(deadLetters).toMatchObject([{ message: 'act', reason: 'abandoned' }]);
    });
  });
});

describe('spawning', () => {
  it.each(['', 'a/b', '/'])("refuses '%s' as a name", async (id) => {
    await withSystem(async ({ system }) => {
      expect(() => system.spawn({ id, restart: 'temporary', actor: probeActor({ log: [] }) })).toThrow(/cannot have a child named/);
    });
  });

  it('refuses a name that is taken', async () => {
    await withSystem(async ({ system }) => {
      const spec = { id: 'a', restart: 'temporary', actor: probeActor({ log: [] }) } as const;
      system.spawn(spec);
      expect(() => system.spawn(spec)).toThrow("/ has a child named 'a' already");
    });
  });

  it('nests paths', async () => {
    await withSystem(async ({ host, system }) => {
      const paths: string[] = [];
      const note = (context: Parameters<Act>[0]): void => void paths.push(context.path);
      const b: Act = (context) => {
        note(context);
        context.spawn({ id: 'c', restart: 'temporary', actor: probeActor({ log: [], onStart: note }) });
      };
      const a: Act = (context) => {
        note(context);
        context.spawn({ id: 'b', restart: 'temporary', actor: probeActor({ log: [], onStart: b }) });
      };
      const ref = system.spawn({ id: 'a', restart: 'temporary', actor: probeActor({ log: [], onStart: a }) });
      await host.settle();
      expect(paths).toEqual(['/a', '/a/b', '/a/b/c']);
      expect(ActorRef.cellOf(ref).path).toBe('/a');
    });
  });
});
