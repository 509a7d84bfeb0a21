import { describe, expect, it } from 'vitest';
import type { Restart, Strategy, SupervisionOptions } from '#runtime/kernel/actor.ts';
import { ActorRef, type AnyRef } from '#runtime/kernel/ref.ts';
import type { ActorReport } from '#runtime/kernel/inspect.ts';
import { withSystem, type Stage } from '#tests/support/actors.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

const CALM: SupervisionOptions = { intensity: 100, backoff: { minMs: 10, maxMs: 10, jitter: 0 } };

interface Family {
  readonly log: string[];
  readonly top: ProbeRef;
  readonly children: Readonly<Record<string, ProbeRef>>;
  /** The member of that name. */
  readonly the: (id: string) => ProbeRef;
}

/** A supervisor `/top` with children, each as `id: restart type`, all running. The log is empty then. */
async function family(stage: Stage, supervise: SupervisionOptions, members: Readonly<Record<string, Restart>>, onStart?: Act): Promise<Family> {
  const log: string[] = [];
  const children: Record<string, ProbeRef> = {};
  const top = stage.system.spawn({
    id: 'top',
    restart: 'permanent',
    actor: probeActor({
      log,
      supervise,
      onStart: (context) => {
        for (const [id, restart] of Object.entries(members)) {
          children[id] = context.spawn({ id, restart, actor: probeActor({ log, ...(onStart === undefined ? {} : { onStart }) }) });
        }
      },
    }),
  });
  await stage.host.settle();
  log.length = 0;
  const the = (id: string): ProbeRef => {
    const ref = children[id];
    if (ref === undefined) throw new Error(`no child ${id}`);
    return ref;
  };
  return { log, top, children, the };
}

function reportOf(stage: Stage, ref: AnyRef): ActorReport | undefined {
  const search = (report: ActorReport): ActorReport | undefined =>
    report.path === ref.path ? report : report.children.map(search).find((found) => found !== undefined);
  return search(stage.system.inspect());
}

interface Case {
  readonly name: string;
  readonly strategy: Strategy;
  readonly members: Readonly<Record<string, Restart>>;
  readonly fails: string;
  readonly by: 'crash' | 'stop';
  readonly happens: readonly string[];
  readonly left: readonly string[];
}

const permanent = { a: 'permanent', b: 'permanent', c: 'permanent' } as const;

// What OTP's supervisor does; stdlib, supervisor.erl, do_restart/3 and restart/2. `-b` comes first: the one that failed is down already.
const CASES: readonly Case[] = [
  { name: 'one-for-one restarts the one that crashed', strategy: 'one-for-one', members: permanent, fails: 'b', by: 'crash', happens: ['-b', '+b'], left: ['a', 'b', 'c'] },
  { name: 'one-for-one restarts a permanent one that ended', strategy: 'one-for-one', members: permanent, fails: 'b', by: 'stop', happens: ['-b', '+b'], left: ['a', 'b', 'c'] },
  { name: 'one-for-all restarts all, in order', strategy: 'one-for-all', members: permanent, fails: 'b', by: 'crash', happens: ['-b', '-c', '-a', '+a', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'one-for-all, the first fails', strategy: 'one-for-all', members: permanent, fails: 'a', by: 'crash', happens: ['-a', '-c', '-b', '+a', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'one-for-all restarts all when a permanent one ended', strategy: 'one-for-all', members: permanent, fails: 'c', by: 'stop', happens: ['-c', '-b', '-a', '+a', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'rest-for-one restarts it and the later ones', strategy: 'rest-for-one', members: permanent, fails: 'b', by: 'crash', happens: ['-b', '-c', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'rest-for-one, the first fails: all', strategy: 'rest-for-one', members: permanent, fails: 'a', by: 'crash', happens: ['-a', '-c', '-b', '+a', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'rest-for-one, the last fails: only it', strategy: 'rest-for-one', members: permanent, fails: 'c', by: 'crash', happens: ['-c', '+c'], left: ['a', 'b', 'c'] },
  { name: 'a transient one that crashed is restarted', strategy: 'one-for-one', members: { ...permanent, b: 'transient' }, fails: 'b', by: 'crash', happens: ['-b', '+b'], left: ['a', 'b', 'c'] },
  { name: 'a transient one that ended is not', strategy: 'one-for-one', members: { ...permanent, b: 'transient' }, fails: 'b', by: 'stop', happens: ['-b'], left: ['a', 'c'] },
  { name: 'a transient one that ended does not touch its siblings', strategy: 'one-for-all', members: { ...permanent, b: 'transient' }, fails: 'b', by: 'stop', happens: ['-b'], left: ['a', 'c'] },
  { name: 'a transient one that crashed takes its siblings along', strategy: 'one-for-all', members: { ...permanent, b: 'transient' }, fails: 'b', by: 'crash', happens: ['-b', '-c', '-a', '+a', '+b', '+c'], left: ['a', 'b', 'c'] },
  { name: 'a temporary one that crashed is not restarted', strategy: 'one-for-one', members: { ...permanent, b: 'temporary' }, fails: 'b', by: 'crash', happens: ['-b'], left: ['a', 'c'] },
  { name: 'a temporary one that crashed does not touch its siblings', strategy: 'one-for-all', members: { ...permanent, b: 'temporary' }, fails: 'b', by: 'crash', happens: ['-b'], left: ['a', 'c'] },
  { name: 'a temporary sibling is stopped with the group and not started again', strategy: 'one-for-all', members: { ...permanent, c: 'temporary' }, fails: 'b', by: 'crash', happens: ['-b', '-c', '-a', '+a', '+b'], left: ['a', 'b'] },
  { name: 'a transient sibling is started again with the group', strategy: 'rest-for-one', members: { ...permanent, c: 'transient' }, fails: 'b', by: 'crash', happens: ['-b', '-c', '+b', '+c'], left: ['a', 'b', 'c'] },
];

describe('strategies', () => {
  it.each(CASES)('$name', async ({ strategy, members, fails, by, happens, left }) => {
    await withSystem(async (stage) => {
      const { log, top, the } = await family(stage, { ...CALM, strategy }, members);
      if (by === 'crash') the(fails).crash('boom');
      else the(fails).stop();
      await stage.host.advance(100);
      expect(log).toEqual(happens);
      expect(reportOf(stage, top)?.children.map(({ path }) => path.slice('/top/'.length))).toEqual(left);
      expect(stage.takeCrashes()).toHaveLength(by === 'crash' ? 1 : 0);
    });
  });
});

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
      expect(stage.deadLetters).toMatchObject([{ path: '/top/b', message: 'crash', reason: 'crashed', payload: 'boom', error: { message: 'boom' } }]);
      expect(stage.takeCrashes()).toMatchObject([
        { path: '/top/b', protocol: 'probe', activity: 'message', message: 'crash', outcome: 'restart', restartsInPeriod: 1, delayMs: 10 },
      ]);
      expect(reportOf(stage, b)).toMatchObject({ state: 'idle', restarts: 1, handled: 3 });
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
        expect(() => context.spawn({ id: 'x', restart: 'temporary', actor: probeActor({ log }) })).toThrow(expect.objectContaining({ code: 'ACTOR_CLOSED' }));
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
      const { log, the } = await family(stage, { strategy: 'rest-for-one', intensity: 100, backoff: { minMs: 50, maxMs: 50, jitter: 0 } }, permanent);
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

describe('restart intensity', () => {
  it('one more than it within the period is the failure of the supervisor', async () => {
    await withSystem(async (stage) => {
      const { log, top, the } = await family(stage, { intensity: 2, periodMs: 1_000, backoff: { minMs: 1, maxMs: 1, jitter: 0 } }, permanent);
      for (let i = 0; i < 2; i++) {
        the('b').crash('boom');
        await stage.host.advance(10);
      }
      expect(reportOf(stage, top)).toMatchObject({ restarts: 0 });
      log.length = 0;
      the('b').crash('boom');
      await stage.host.advance(200);
      expect(log).toEqual(['-b', '-c', '-a', '-top', '+top', '+a', '+b', '+c']);
      expect(reportOf(stage, top)).toMatchObject({ restarts: 1, lastError: 'RestartLimitReached: /top gave up: 3 restarts of its children are more than its limit allows' });
      expect(stage.takeCrashes().map(({ path, outcome, restartsInPeriod }) => [path, outcome, restartsInPeriod])).toEqual([
        ['/top/b', 'restart', 1],
        ['/top/b', 'restart', 2],
        ['/top/b', 'escalate', 3],
        ['/top', 'restart', 1],
      ]);
    });
  });

  it('is counted over all children, on the monotonic clock', async () => {
    await withSystem(async (stage) => {
      const { top, the } = await family(stage, { intensity: 2, periodMs: 1_000, backoff: { minMs: 1, maxMs: 1, jitter: 0 } }, permanent);
      the('a').crash('boom');
      await stage.host.advance(500);
      the('b').crash('boom');
      stage.host.skewWall(-3_600_000);
      await stage.host.advance(501);
      the('c').crash('boom');
      await stage.host.advance(100);
      expect(reportOf(stage, top)).toMatchObject({ restarts: 0 });
      the('c').crash('boom');
      await stage.host.advance(100);
      expect(reportOf(stage, top)).toMatchObject({ restarts: 1 });
      expect(stage.takeCrashes().map(({ outcome }) => outcome)).toEqual(['restart', 'restart', 'restart', 'escalate', 'restart']);
    });
  });

  it('defaults to 5 in 10 s', async () => {
    await withSystem(async (stage) => {
      const { the } = await family(stage, {}, permanent);
      for (let i = 0; i < 6; i++) {
        the('b').crash('boom');
        await stage.host.advance(1_200);
      }
      expect(stage.takeCrashes().map(({ outcome }) => outcome)).toEqual(['restart', 'restart', 'restart', 'restart', 'restart', 'escalate', 'restart']);
    });
  });

  it('escalates level by level; at the top the system ends', async () => {
    await withSystem(async (stage) => {
      const { host, system } = stage;
      const log: string[] = [];
      const brittle: SupervisionOptions = { intensity: 0 };
      const leaf = (context: Parameters<Act>[0]) => void context.spawn({ id: 'leaf', restart: 'permanent', actor: probeActor({ log }) });
      const middle = (context: Parameters<Act>[0]) =>
        void context.spawn({ id: 'middle', restart: 'permanent', actor: probeActor({ log, supervise: brittle, onStart: leaf }) });
      const top = system.spawn({ id: 'top', restart: 'permanent', actor: probeActor({ log, supervise: brittle, onStart: middle }) });
      system.spawn({ id: 'bystander', restart: 'permanent', actor: probeActor({ log }) });
      for (let i = 0; i < 6; i++) {
        await host.settle();
        const leafRef = ActorRef.cellOf(top).children.get('middle')?.children.get('leaf')?.ref as ProbeRef;
        leafRef.crash('boom');
        await host.advance(1_500);
      }
      expect(system.inspect()).toMatchObject({ state: 'stopped', children: [] });
      expect(log.slice(-4)).toEqual(['-leaf', '-middle', '-top', '-bystander'].toSorted((a, b) => log.slice(-4).indexOf(a) - log.slice(-4).indexOf(b)));
      const outcomes = stage.takeCrashes().map(({ path, outcome }) => `${path} ${outcome}`);
      expect(outcomes.slice(0, 3)).toEqual(['/top/middle/leaf escalate', '/top/middle escalate', '/top restart']);
      expect(outcomes.slice(-4)).toEqual(['/top/middle/leaf escalate', '/top/middle escalate', '/top escalate', '/ stop']);
      expect(() => system.spawn({ id: 'late', restart: 'temporary', actor: probeActor({ log }) })).toThrow(expect.objectContaining({ code: 'ACTOR_CLOSED' }));
    });
  });
});
