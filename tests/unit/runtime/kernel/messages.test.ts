import { describe, expect, it } from 'vitest';
import { defineActor } from '#runtime/kernel/actor.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { expectBalance, withSystem } from '#tests/support/actors.ts';
import { probeActor } from '#tests/support/probe-actor.ts';

describe('a tell', () => {
  it('is handled after the one who sent it has gone on', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      expect(ref.note('1')).toBe('accepted');
      log.push('sent');
      await host.settle();
      expect(log).toEqual(['sent', '+a', 'a:1']);
    });
  });

  it("answers 'full' when the mailbox is, and says so in a dead letter", async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent', mailbox: { capacity: 3 } });
      expect(['1', '2', '3', '4', '5'].map((text) => ref.note(text))).toEqual(['accepted', 'accepted', 'accepted', 'full', 'full']);
      expect(system.accounting()).toEqual({ sent: 5, handled: 0, deadLettered: 2, queued: 3, lost: 0 });
      await host.settle();
      expect(log).toEqual(['+a', 'a:1', 'a:2', 'a:3']);
      expect(deadLetters).toMatchObject([
        { path: '/a', message: 'note', reason: 'full', payload: '4' },
        { path: '/a', message: 'note', reason: 'full', payload: '5' },
      ]);
      expect(ref.note('6')).toBe('accepted');
    });
  });

  it('takes the capacity from the definition, unless the spec has its own', async () => {
    await withSystem(async ({ system }) => {
      const Sink = protocol('sink', { drop: tell() });
      const sink = defineActor({ protocol: Sink, mailbox: { capacity: 2 }, start: () => ({ drop: () => undefined }) });
      const own = system.spawn({ id: 'own', actor: sink, restart: 'permanent' });
      const other = system.spawn({ id: 'other', actor: sink, restart: 'permanent', mailbox: { capacity: 1 } });
      expect([own.drop(), own.drop(), own.drop()]).toEqual(['accepted', 'accepted', 'full']);
      expect([other.drop(), other.drop()]).toEqual(['accepted', 'full']);
      const plain = system.spawn({ id: 'plain', actor: probeActor({ log: [] }), restart: 'permanent' });
      expect(Array.from({ length: 1_025 }, () => plain.note('x')).filter((answer) => answer === 'accepted')).toHaveLength(1_024);
    });
  });

  it("answers 'closed' when the actor has ended, and says so in a dead letter", async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      await host.settle();
      await system.stop(ref);
      expect(ref.note('late')).toBe('closed');
      expect(deadLetters).toMatchObject([{ path: '/a', message: 'note', reason: 'closed', payload: 'late' }]);
    });
  });
});

describe('a handler', () => {
  it('that is async holds back the next message until it settles', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.wait(promise);
      ref.note('after');
      await host.settle();
      expect(log).toEqual(['+a']);
      expect(system.inspect().children).toMatchObject([{ state: 'busy', inHand: 'wait', mailbox: { depth: 1 } }]);
      resolve('waited');
      await host.settle();
      expect(log).toEqual(['+a', 'a:waited', 'a:after']);
    });
  });

  it('may be a method of a class', async () => {
    const Counter = protocol('counter', { add: tell<number>() });
    const seen: number[] = [];
    class Handlers {
      #total = 0;

      add(amount: number): void {
        this.#total += amount;
        seen.push(this.#total);
      }
    }
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', actor: defineActor({ protocol: Counter, start: () => new Handlers() }), restart: 'permanent' });
      ref.add(1);
      ref.add(2);
      await host.settle();
      expect(seen).toEqual([1, 3]);
    });
  });

  it('that is missing is a crash of the start, and says which', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const Needy = protocol('needy', { something: tell() });
      const handlers: unknown = {};
      const needy = defineActor({ protocol: Needy, start: () => handlers as { something: () => void } });
      system.spawn({ id: 'a', actor: needy, restart: 'temporary' });
      await host.settle();
      expect(takeCrashes()).toMatchObject([
        { path: '/a', activity: 'start', outcome: 'stop', error: { message: "no handler for 'something'" } },
      ]);
    });
  });
});

describe('the system lane', () => {
  it('goes before the messages: what is queued when the actor stops is not handled', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'temporary' });
      ref.note('1');
      ref.act((context) => {
        context.stop();
      });
      ref.note('2');
      await host.settle();
      expect(log).toEqual(['+a', 'a:1', '-a']);
      expect(deadLetters).toMatchObject([{ message: 'note', reason: 'stopped', payload: '2' }]);
    });
  });

  it('is looked at between two messages', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      ref.act((context) => {
        context.after(0, () => void log.push('timer 1'));
        context.after(0, () => void log.push('timer 2'));
      });
      ref.note('1');
      ref.note('2');
      await host.settle();
      expect(log).toEqual(['+a', 'timer 1', 'timer 2', 'a:1', 'a:2']);
    });
  });

  it('keeps its order when a callback is async', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      const { promise, resolve } = Promise.withResolvers<void>();
      ref.act((context) => {
        context.after(0, async () => {
          await promise;
          log.push('1');
          context.after(0, () => void log.push('4'));
        });
        context.after(0, () => void log.push('2'));
        context.after(0, () => void log.push('3'));
      });
      ref.note('user');
      await host.settle();
      expect(log).toEqual(['+a']);
      resolve();
      await host.settle();
      expect(log).toEqual(['+a', '1', '2', '3', '4', 'a:user']);
    });
  });
});

describe('callbacks', () => {
  it('that were added by a callback come after those that wait behind an async one', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      ref.act((context) => {
        context.after(0, () => {
          log.push('1');
          context.after(0, () => void log.push('4'));
        });
        context.after(0, async () => {
          await Promise.resolve();
          log.push('2');
        });
        context.after(0, () => void log.push('3'));
      });
      await host.settle();
      expect(log).toEqual(['+a', '1', '2', '3', '4']);
    });
  });

  it('do not run any more once the actor has stopped itself', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'temporary' });
      ref.act((context) => {
        context.after(0, () => {
          log.push('stops');
          context.stop();
        });
        context.after(0, () => void log.push('never'));
      });
      await host.settle();
      expect(log).toEqual(['+a', 'stops', '-a']);
    });
  });
});

describe('the dispatcher', () => {
  it('lets actors take turns of 64 messages at most, shorter ones until it knows that they are quick', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const one = system.spawn({ id: 'one', actor: probeActor({ log }), restart: 'permanent' });
      const two = system.spawn({ id: 'two', actor: probeActor({ log }), restart: 'permanent' });
      await host.settle();
      log.length = 0;
      for (let i = 0; i < 500; i++) one.note('x');
      for (let i = 0; i < 500; i++) two.note('x');
      await host.settle();
      const turns = log
        .map((entry) => entry.slice(0, 3))
        .reduce<[string, number][]>((runs, id) => {
          const last = runs.at(-1);
          if (last?.[0] === id) last[1]++;
          else runs.push([id, 1]);
          return runs;
        }, []);
      expect(turns.slice(0, 9)).toEqual([
        ['one', 1],
        ['two', 2],
        ['one', 4],
        ['two', 8],
        ['one', 16],
        ['two', 32],
        ['one', 64],
        ['two', 64],
        ['one', 64],
      ]);
      expect(turns.every(([, length]) => length <= 64)).toBe(true);
      expect(log).toHaveLength(1_000);
    });
  });
});

const Node = protocol('node', { post: tell<{ from: number; number: number; hops: number }>() });

describe('order', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('is kept per sender under random sync and async handlers (seed %i)', async (seed) => {
    await withSystem(
      async ({ host, system }) => {
        const random = seededRandom(seed);
        const nodes = 12;
        const next = Array.from({ length: nodes }, () => new Array<number>());
        const wanted = Array.from({ length: nodes }, () => new Map<number, number>());
        const refs: { post: (letter: { from: number; number: number; hops: number }) => unknown }[] = [];
        let sent = 0;
        let handled = 0;
        const outOfOrder: string[] = [];
        const post = (from: number, to: number, hops: number): void => {
          const number = (next[from] ?? [])[to] ?? 0;
          (next[from] ?? [])[to] = number + 1;
          sent++;
          expect(refs[to]?.post({ from, number, hops })).toBe('accepted');
        };
        const actor = defineActor({
          protocol: Node,
          mailbox: { capacity: 100_000 },
          start: (context, self: number) => ({
            post({ from, number, hops }) {
              const want = wanted[self]?.get(from) ?? 0;
              if (number !== want) outOfOrder.push(`${from}->${self}: ${number} instead of ${want}`);
              wanted[self]?.set(from, number + 1);
              handled++;
              if (hops > 0) for (let k = random() < 0.35 ? 2 : 1; k > 0; k--) post(self, Math.floor(random() * nodes), hops - 1);
              const dice = random();
              if (dice < 0.1) return Promise.resolve();
              if (dice < 0.2) return new Promise((resolve) => context.clock.now() >= 0 && host.scheduler.after(random() * 5, resolve));
              if (dice < 0.3) return new Promise((resolve) => host.scheduler.yieldThen(resolve));
              return undefined;
            },
          }),
        });
        for (let i = 0; i < nodes; i++) refs.push(system.spawn({ id: `n${i}`, actor, args: i, restart: 'permanent' }));
        for (let round = 0; round < 20; round++) {
          for (let i = 0; i < nodes; i++) post(i, Math.floor(random() * nodes), 6);
          expectBalance(system);
          await host.advance(random() * 3);
        }
        for (let i = 0; i < 5_000 && system.accounting().queued > 0; i++) await host.advance(5);
        expect(outOfOrder).toEqual([]);
        expect(handled).toBe(sent);
        expect(sent).toBeGreaterThan(1_500);
      },
      { seed },
    );
  });
});
