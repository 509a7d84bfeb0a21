import { describe, expect, it } from 'vitest';
import { ActorRef } from '#runtime/kernel/ref.ts';
import { withSystem, type Stage } from '#tests/support/actors.ts';
import { CALM, family, reportOf, type Family } from '#tests/support/family.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

const permanent = { a: 'permanent', b: 'permanent', c: 'permanent' } as const;

describe('a restart', () => {
  it('keeps the ref and the mailbox; only the message that crashed is lost, with a reason', async () => {
    await withSystem(async (stage) => {
      const { log, the } = await family(stage, CALM, permanent);
      const b = the('b');
      b.note('1');
      b.crash('boom');
      b.note('2');
      await stage.host.settle();
      b.note('3');
      expect(reportOf(stage, b)).toMatchObject({ state: 'waiting', mailbox: { depth: 2 }, lastError: 'Error: boom' });
      await stage.host.advance(10);
      expect(log).toEqual(['b:1', '-b', '+b', 'b:2', 'b:3']);
      expect(stage.deadLetters).toMatchObject([
        { path: '/top/b', message: 'crash', reason: 'crashed', payload: 'boom', error: { message: 'boom' } },
      ]);
      expect(stage.takeCrashes()).toMatchObject([
        { path: '/top/b', protocol: 'probe', activity: 'message', message: 'crash', outcome: 'restart', restartsInPeriod: 1, delayMs: 10 },
      ]);
      expect(reportOf(stage, b)).toMatchObject({ state: 'idle', restarts: 1, handled: 3 });
    });
  });

  it('that comes too often at the top ends the system, and whoever runs it is told once', async () => {
    await withSystem(async (stage) => {
      const log: string[] = [];
      const ref = stage.system.spawn({ id: 'a', restart: 'permanent', actor: probeActor({ log }) });
      for (let times = 1; times <= 6; times++) {
        await stage.host.advance(1_000);
        expect(stage.gaveUp).toEqual([]);
        ref.crash('boom');
      }
      await stage.host.settle();
      expect(stage.gaveUp).toMatchObject([{ name: 'RestartLimitReached' }]);
      expect(stage.system.inspect()).toMatchObject({ state: 'stopped', children: [] });
      expect(stage.takeCrashes().filter(({ path }) => path === '/')).toHaveLength(1);
    });
  });

  it('waits longer each time in a row, and starts from the beginning after a quiet period', async () => {
    await withSystem(async (stage) => {
      const { the } = await family(stage, { intensity: 10, periodMs: 1_000, backoff: { minMs: 10, maxMs: 50, jitter: 0 } }, permanent);
      for (let i = 0; i < 4; i++) {
        the('b').crash('boom');
        await stage.host.advance(60);
      }
      await stage.host.advance(1_001);
      the('b').crash('boom');
      await stage.host.advance(60);
      expect(stage.takeCrashes().map(({ delayMs }) => delayMs)).toEqual([10, 20, 40, 50, 10]);
    });
  });

  it('varies its pause with the random numbers of the host', async () => {
    const pauses = async (seed: number): Promise<unknown[]> => {
      const seen: unknown[] = [];
      await withSystem(
        async (stage) => {
          const { the } = await family(stage, {}, permanent);
          for (const id of ['a', 'b', 'c']) the(id).crash('boom');
          await stage.host.advance(100);
          seen.push(...stage.takeCrashes().map(({ delayMs }) => delayMs));
        },
        { seed },
      );
      return seen;
    };
    const [first, again, other] = [await pauses(1), await pauses(1), await pauses(2)];
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    expect(new Set(first).size).toBe(3);
    for (const pause of first) expect(Math.abs(Number(pause) - 50)).toBeLessThanOrEqual(10);
  });

  it('ignores what the incarnation before left unsettled', async () => {
    await withSystem(async (stage) => {
      const { host, system } = stage;
      const log: string[] = [];
      const late = Promise.withResolvers<void>();
      const ref = system.spawn({
        id: 'a',
        restart: 'permanent',
        actor: probeActor({
          log,
          supervise: { intensity: 0 },
          onStart: (context) => void context.spawn({ id: 'child', restart: 'permanent', actor: probeActor({ log }) }),
        }),
      });
      ref.act(async (context) => {
        await late.promise;
        log.push('late code runs');
        expect(() => context.spawn({ id: 'x', restart: 'temporary', actor: probeActor({ log }) })).toThrow(
          expect.objectContaining({ code: 'ACTOR_CLOSED' }),
        );
        context.after(1, () => void log.push('never'));
        context.stop();
        throw new Error('nobody hears this');
      });
      ref.note('next');
      await host.settle();
      const child = ActorRef.cellOf(ref).children.get('child')?.ref as ProbeRef;
      child.crash('one too many');
      await host.advance(100);
      expect(log).toEqual(['+a', '+child', '-child', '-a', '+a', 'a:next', '+child']);
      late.resolve();
      await host.advance(100);
      expect(log.slice(7)).toEqual(['late code runs']);
      expect(system.inspect().children).toMatchObject([{ path: '/a', state: 'idle', restarts: 1 }]);
      expect(stage.takeCrashes().map(({ path, activity, outcome }) => ({ path, activity, outcome }))).toEqual([
        { path: '/a/child', activity: 'message', outcome: 'escalate' },
        { path: '/a', activity: 'supervision', outcome: 'restart' },
      ]);
      expect(stage.deadLetters).toMatchObject([
        { path: '/a/child', message: 'crash' },
        { path: '/a', message: 'act', reason: 'crashed', error: { name: 'RestartLimitReached' } },
      ]);
    });
  });

  it('is not disturbed by a handler of the incarnation before that settles late', async () => {
    await withSystem(async (stage) => {
      const { host, system } = stage;
      const log: string[] = [];
      const brittle: Act = (context) => void context.spawn({ id: 'child', restart: 'permanent', actor: probeActor({ log }) });
      const ref = system.spawn({
        id: 'a',
        restart: 'permanent',
        actor: probeActor({ log, supervise: { intensity: 0 }, onStart: brittle }),
      });
      const [before, now] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
      ref.wait(before.promise);
      await host.settle();
      const child = ActorRef.cellOf(ref).children.get('child')?.ref as ProbeRef;
      child.crash('boom');
      ref.wait(now.promise);
      ref.note('next');
      await host.advance(100);
      before.resolve('from before');
      await host.settle();
      expect(reportOf(stage, ref)).toMatchObject({ state: 'busy', inHand: 'wait', mailbox: { depth: 1 }, handled: 0 });
      now.resolve('from now');
      await host.settle();
      expect(log.filter((entry) => entry.startsWith('a:')).toSorted()).toEqual(['a:from before', 'a:from now', 'a:next']);
      expect(reportOf(stage, ref)).toMatchObject({ state: 'idle', handled: 2 });
      expect(stage.takeCrashes()).toHaveLength(2);
    });
  });

  it('takes its children down first, the last started first', async () => {
    await withSystem(async (stage) => {
      const { log, top } = await family(stage, CALM, permanent);
      top.crash('boom');
      await stage.host.advance(100);
      expect(log).toEqual(['-c', '-b', '-a', '-top', '+top', '+a', '+b', '+c']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });

  it('runs start with the same arguments, async or not; messages queue meanwhile', async () => {
    await withSystem(async (stage) => {
      const { host, system } = stage;
      const log: string[] = [];
      const gates: (() => void)[] = [];
      const ref = system.spawn({
        id: 'a',
        restart: 'permanent',
        actor: probeActor({ log, onStart: () => new Promise<void>((resolve) => gates.push(resolve)) }),
      });
      ref.note('1');
      await host.settle();
      expect(log).toEqual([]);
      expect(system.inspect().children).toMatchObject([{ state: 'starting', mailbox: { depth: 1 } }]);
      gates.shift()?.();
      await host.settle();
      expect(log).toEqual(['+a', 'a:1']);
      ref.crash('boom');
      ref.note('2');
      await host.advance(100);
      expect(log).toEqual(['+a', 'a:1', '-a']);
      gates.shift()?.();
      await host.settle();
      expect(log).toEqual(['+a', 'a:1', '-a', '+a', 'a:2']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });

  it('starts the members of a group one after the other', async () => {
    await withSystem(async (stage) => {
      const gates: (() => void)[] = [];
      let gated = false;
      const gate: Act = () => (gated ? new Promise<void>((resolve) => gates.push(resolve)) : undefined);
      const { log, the } = await family(stage, { ...CALM, strategy: 'one-for-all' }, permanent, gate);
      gated = true;
      the('b').crash('boom');
      await stage.host.advance(100);
      expect(log).toEqual(['-b', '-c', '-a']);
      expect(gates).toHaveLength(1);
      gates[0]?.();
      await stage.host.settle();
      expect(log.slice(3)).toEqual(['+a']);
      expect(gates).toHaveLength(2);
      gates[1]?.();
      await stage.host.settle();
      gates[2]?.();
      await stage.host.settle();
      expect(log.slice(3)).toEqual(['+a', '+b', '+c']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });

  it('that fails begins anew with what was still to do', async () => {
    await withSystem(async (stage) => {
      let failures = 2;
      let armed = false;
      const flaky: Act = (context) => {
        if (armed && context.path === '/top/b' && failures-- > 0) throw new Error('start fails');
      };
      const { log, the } = await family(stage, { ...CALM, strategy: 'rest-for-one' }, { ...permanent, d: 'permanent' }, flaky);
      armed = true;
      the('b').crash('boom');
      await stage.host.advance(1_000);
      expect(log).toEqual(['-b', '-d', '-c', '+b', '+c', '+d']);
      expect(stage.takeCrashes().map(({ path, activity, restartsInPeriod }) => [path, activity, restartsInPeriod])).toEqual([
        ['/top/b', 'message', 1],
        ['/top/b', 'start', 2],
        ['/top/b', 'start', 3],
      ]);
    });
  });

  it('of a larger group takes over the restart of a smaller one', async () => {
    await withSystem(async (stage) => {
      const { log, the } = await family(
        stage,
        { strategy: 'rest-for-one', intensity: 100, backoff: { minMs: 50, maxMs: 50, jitter: 0 } },
        permanent,
      );
      the('c').crash('boom');
      await stage.host.advance(25);
      the('a').crash('boom');
      await stage.host.advance(49);
      expect(log).toEqual(['-c', '-a', '-b']);
      await stage.host.advance(1);
      expect(log).toEqual(['-c', '-a', '-b', '+a', '+b', '+c']);
      await stage.host.advance(1_000);
      expect(log).toHaveLength(6);
      expect(stage.takeCrashes()).toHaveLength(2);
    });
  });

  it('counts once when two of a group crash in the same breath', async () => {
    await withSystem(async (stage) => {
      const { log, the, top } = await family(stage, { ...CALM, strategy: 'one-for-all', intensity: 2 }, permanent);
      the('a').crash('first');
      the('b').crash('second');
      await stage.host.advance(1_000);
      expect(log.slice(-3)).toEqual(['+a', '+b', '+c']);
      expect(log.filter((entry) => entry === '+b')).toHaveLength(1);
      expect(reportOf(stage, top)).toMatchObject({ restarts: 0, children: [{ restarts: 1 }, { restarts: 1 }, { restarts: 1 }] });
      expect(stage.takeCrashes().length).toBeGreaterThan(0);
    });
  });
});

describe('a child that is stopped while it waits for its restart', () => {
  it('stays down', async () => {
    await withSystem(async (stage) => {
      const { log, the, top } = await family(stage, { ...CALM, strategy: 'one-for-all' }, permanent);
      the('b').crash('boom');
      await stage.host.settle();
      await stage.system.stop(the('b'));
      await stage.host.advance(100);
      expect(log).toEqual(['-b', '-c', '-a', '+a', '+c']);
      expect(reportOf(stage, top)?.children.map(({ path }) => path)).toEqual(['/top/a', '/top/c']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });
});

describe('a supervisor that is being stopped', () => {
  /** A family whose last member takes 100 ms to end. */
  async function slowFamily(stage: Stage): Promise<Family> {
    const slow: Act = (context) => {
      if (context.path !== '/top/c') return;
      context.onStop(
        () =>
          new Promise<void>((resolve) => {
            stage.host.scheduler.after(100, resolve);
          }),
      );
    };
    return family(stage, CALM, permanent, slow);
  }

  it('does not start again a child that was waiting for it', async () => {
    await withSystem(async (stage) => {
      const { log, top, the } = await slowFamily(stage);
      the('a').crash('boom');
      await stage.host.settle();
      const stopped = stage.system.stop(top);
      await stage.host.advance(99);
      expect(log).toEqual(['-a', '-c']);
      await stage.host.advance(1);
      await stopped;
      expect(log).toEqual(['-a', '-c', '-b', '-top']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });

  it('does not restart a child that crashes meanwhile', async () => {
    await withSystem(async (stage) => {
      const { log, top, the } = await slowFamily(stage);
      const stopped = stage.system.stop(top);
      await stage.host.advance(10);
      the('a').crash('boom');
      await stage.host.advance(90);
      await stopped;
      expect(log).toEqual(['-c', '-a', '-b', '-top']);
      expect(stage.takeCrashes()).toMatchObject([{ path: '/top/a', outcome: 'stop' }]);
    });
  });
});
