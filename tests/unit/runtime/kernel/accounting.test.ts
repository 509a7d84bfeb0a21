import { describe, expect, it } from 'vitest';
import { seededRandom } from '#runtime/simulation/random.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { expectBalance, withSystem } from '#tests/support/actors.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

describe('accounting', () => {
  it('counts a message in hand as queued, a refused one as sent and dead', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', restart: 'permanent', mailbox: { capacity: 1 }, actor: probeActor({ log: [] }) });
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.wait(promise);
      await host.settle();
      ref.note('queued');
      ref.note('refused');
      expect(system.accounting()).toEqual({ sent: 3, handled: 0, deadLettered: 1, queued: 2, lost: 0 });
      resolve('x');
      await host.settle();
      expect(system.accounting()).toEqual({ sent: 3, handled: 2, deadLettered: 1, queued: 0, lost: 0 });
    });
  });

  it('balances at any moment, in the middle of a handler and in the hooks too', async () => {
    const host = virtualHost(1);
    let looked = 0;
    const look = (): void => {
      looked++;
      expectBalance(system);
    };
    const system = createSystem({ name: 'test', host, onCrash: look, onDeadLetter: look });
    const ref = system.spawn({ id: 'a', restart: 'permanent', shutdownMs: 10, actor: probeActor({ log: [] }) });
    for (let i = 0; i < 3; i++) ref.act(look);
    ref.crash('boom');
    ref.act(look);
    await host.advance(100);
    ref.act(() => new Promise(() => undefined));
    ref.note('queued');
    await host.settle();
    const stopped = system.stop(ref);
    await host.advance(10);
    await stopped;
    ref.note('closed');
    expect(looked).toBe(9);
    expect(system.deadLetters().counts).toEqual({ full: 0, closed: 1, stopped: 1, crashed: 1, abandoned: 1 });
    await system.shutdown();
    expect(host.pendingTimers).toBe(0);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('balances through crashes, restarts, stops and floods (seed %i)', async (seed) => {
    await withSystem(
      async ({ host, system, takeCrashes }) => {
        const random = seededRandom(seed);
        const refs: ProbeRef[] = [];
        let asked = 0;
        let ended = 0;
        const parent: Act = (context) => {
          for (const id of ['x', 'y', 'z']) {
            const restart = (['permanent', 'transient', 'temporary'] as const)[Math.floor(random() * 3)] ?? 'permanent';
            refs.push(context.spawn({ id, restart, shutdownMs: 20, mailbox: { capacity: 5 }, actor: probeActor({ log: [] }) }));
          }
        };
        const crashLater: Act = () =>
          new Promise((_resolve, reject) => {
            host.scheduler.after(5, () => {
              reject(new Error('late crash'));
            });
          });
        for (let i = 0; i < 4; i++) {
          const strategy = (['one-for-one', 'one-for-all', 'rest-for-one'] as const)[i % 3] ?? 'one-for-one';
          const supervise = { strategy, intensity: 4, periodMs: 500, backoff: { minMs: 5, maxMs: 50, jitter: 0.5 } };
          refs.push(system.spawn({ id: `p${i}`, restart: 'transient', actor: probeActor({ log: [], supervise, onStart: parent }) }));
        }
        await host.settle();
        for (let step = 0; step < 800; step++) {
          const ref = refs[Math.floor(random() * refs.length)];
          if (ref === undefined) continue;
          const dice = random();
          if (dice < 0.35) ref.note('x');
          else if (dice < 0.5)
            ref.wait(
              new Promise(
                (resolve) =>
                  void host.scheduler.after(random() * 30, () => {
                    resolve('x');
                  }),
              ),
            );
          else if (dice < 0.75) {
            asked++;
            void ref.echo('x', { timeoutMs: 1 + random() * 40 }).then(
              () => ended++,
              () => ended++,
            );
          } else if (dice < 0.8) ref.crash('boom');
          else if (dice < 0.82) ref.stop();
          else if (dice < 0.83) void system.stop(ref);
          else if (dice < 0.86) ref.act(crashLater);
          else await host.advance(random() * 10);
          expectBalance(system);
        }
        await host.advance(1_000);
        expect(takeCrashes().length).toBeGreaterThan(0);
        expect(ended).toBe(asked);
        expect(asked).toBeGreaterThan(100);
      },
      { seed },
    );
  });
});

describe('dead letters', () => {
  it('are kept, the last 256 of them, without payloads', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', restart: 'temporary', actor: probeActor({ log: [] }) });
      ref.stop();
      await host.settle();
      for (let i = 0; i < 10; i++) ref.note('x');
      expect(system.deadLetters().recent).toHaveLength(10);
      await host.advance(5);
      for (let i = 0; i < 300; i++) ref.note('x');
      ref.stop();
      const { recent, counts } = system.deadLetters();
      expect(recent).toHaveLength(256);
      expect(recent.at(-1)).toEqual({ path: '/a', message: 'stop', reason: 'closed', at: host.clock.wall() });
      expect(recent[0]).toMatchObject({ message: 'note', at: host.clock.wall() });
      expect(counts.closed).toBe(311);
    });
  });
});

describe('a hook that throws', () => {
  it('does not stop the actors, and does not go unseen', async () => {
    const host = virtualHost(1);
    const thrown: unknown[] = [];
    const system = createSystem({
      name: 'test',
      host: {
        ...host,
        scheduler: {
          ...host.scheduler,
          microtask: (run) => {
            host.scheduler.microtask(() => {
              try {
                run();
              } catch (error) {
                thrown.push(error);
              }
            });
          },
        },
      },
      onDeadLetter: () => {
        throw new Error('the hook');
      },
    });
    const log: string[] = [];
    const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
    ref.crash('boom');
    ref.note('next');
    await host.advance(100);
    expect(log).toEqual(['+a', '-a', '+a', 'a:next']);
    expect(thrown).toMatchObject([{ message: 'the hook' }]);
    await system.shutdown();
    expect(host.pendingTimers).toBe(0);
  });
});

describe('inspection', () => {
  it('shows the tree', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const child: Act = (context) =>
        void context.spawn({ id: 'b', restart: 'permanent', mailbox: { capacity: 7 }, actor: probeActor({ log: [] }) });
      const ref = system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log: [], onStart: child }) });
      ref.crash('boom');
      await host.advance(100);
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.wait(promise);
      ref.note('queued');
      await host.settle();
      expect(system.inspect()).toEqual({
        path: '/',
        protocol: 'system',
        state: 'idle',
        mailbox: { depth: 0, capacity: 1024 },
        handled: 0,
        restarts: 0,
        children: [
          {
            path: '/a',
            protocol: 'probe',
            state: 'busy',
            inHand: 'wait',
            mailbox: { depth: 1, capacity: 1024 },
            handled: 0,
            restarts: 1,
            lastError: 'Error: boom',
            children: [
              { path: '/a/b', protocol: 'probe', state: 'idle', mailbox: { depth: 0, capacity: 7 }, handled: 0, restarts: 0, children: [] },
            ],
          },
        ],
      });
      resolve('x');
      expect(takeCrashes()).toHaveLength(1);
    });
  });
});
