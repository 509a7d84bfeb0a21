import { describe, expect, it } from 'vitest';
import type { Restart, Strategy, SupervisionOptions } from '#runtime/kernel/actor.ts';
import { ActorRef } from '#runtime/kernel/ref.ts';
import { withSystem } from '#tests/support/actors.ts';
import { CALM, family, reportOf } from '#tests/support/family.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

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
  {
    name: 'one-for-one restarts the one that crashed',
    strategy: 'one-for-one',
    members: permanent,
    fails: 'b',
    by: 'crash',
    happens: ['-b', '+b'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'one-for-one restarts a permanent one that ended',
    strategy: 'one-for-one',
    members: permanent,
    fails: 'b',
    by: 'stop',
    happens: ['-b', '+b'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'one-for-all restarts all, in order',
    strategy: 'one-for-all',
    members: permanent,
    fails: 'b',
    by: 'crash',
    happens: ['-b', '-c', '-a', '+a', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'one-for-all, the first fails',
    strategy: 'one-for-all',
    members: permanent,
    fails: 'a',
    by: 'crash',
    happens: ['-a', '-c', '-b', '+a', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'one-for-all restarts all when a permanent one ended',
    strategy: 'one-for-all',
    members: permanent,
    fails: 'c',
    by: 'stop',
    happens: ['-c', '-b', '-a', '+a', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'rest-for-one restarts it and the later ones',
    strategy: 'rest-for-one',
    members: permanent,
    fails: 'b',
    by: 'crash',
    happens: ['-b', '-c', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'rest-for-one, the first fails: all',
    strategy: 'rest-for-one',
    members: permanent,
    fails: 'a',
    by: 'crash',
    happens: ['-a', '-c', '-b', '+a', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'rest-for-one, the last fails: only it',
    strategy: 'rest-for-one',
    members: permanent,
    fails: 'c',
    by: 'crash',
    happens: ['-c', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'a transient one that crashed is restarted',
    strategy: 'one-for-one',
    members: { ...permanent, b: 'transient' },
    fails: 'b',
    by: 'crash',
    happens: ['-b', '+b'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'a transient one that ended is not',
    strategy: 'one-for-one',
    members: { ...permanent, b: 'transient' },
    fails: 'b',
    by: 'stop',
    happens: ['-b'],
    left: ['a', 'c'],
  },
  {
    name: 'a transient one that ended does not touch its siblings',
    strategy: 'one-for-all',
    members: { ...permanent, b: 'transient' },
    fails: 'b',
    by: 'stop',
    happens: ['-b'],
    left: ['a', 'c'],
  },
  {
    name: 'a transient one that crashed takes its siblings along',
    strategy: 'one-for-all',
    members: { ...permanent, b: 'transient' },
    fails: 'b',
    by: 'crash',
    happens: ['-b', '-c', '-a', '+a', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
  {
    name: 'a temporary one that crashed is not restarted',
    strategy: 'one-for-one',
    members: { ...permanent, b: 'temporary' },
    fails: 'b',
    by: 'crash',
    happens: ['-b'],
    left: ['a', 'c'],
  },
  {
    name: 'a temporary one that crashed does not touch its siblings',
    strategy: 'one-for-all',
    members: { ...permanent, b: 'temporary' },
    fails: 'b',
    by: 'crash',
    happens: ['-b'],
    left: ['a', 'c'],
  },
  {
    name: 'a temporary sibling is stopped with the group and not started again',
    strategy: 'one-for-all',
    members: { ...permanent, c: 'temporary' },
    fails: 'b',
    by: 'crash',
    happens: ['-b', '-c', '-a', '+a', '+b'],
    left: ['a', 'b'],
  },
  {
    name: 'a transient sibling is started again with the group',
    strategy: 'rest-for-one',
    members: { ...permanent, c: 'transient' },
    fails: 'b',
    by: 'crash',
    happens: ['-b', '-c', '+b', '+c'],
    left: ['a', 'b', 'c'],
  },
];

type Exit = 'crash' | 'stop';
type Row = readonly [type: Restart, exit: Exit, oneForOne: string, oneForAll: string, restForOne: string];

/**
 * OTP's whole table for the middle one of three, the others permanent: restart type by kind of exit (`supervisor.erl`, `do_restart/3`), then
 * who is restarted by strategy (`restart/2`). A letter is restarted, `-` none is; `x` means that the child is gone for good.
 */
const TABLE: readonly Row[] = [
  ['permanent', 'crash', 'b', 'abc', 'bc'],
  ['permanent', 'stop', 'b', 'abc', 'bc'],
  ['transient', 'crash', 'b', 'abc', 'bc'],
  ['transient', 'stop', 'x', 'x', 'x'],
  ['temporary', 'crash', 'x', 'x', 'x'],
  ['temporary', 'stop', 'x', 'x', 'x'],
];

const MATRIX = TABLE.flatMap(([type, exit, ...restarted]) =>
  (['one-for-one', 'one-for-all', 'rest-for-one'] as const).map((strategy, at) => ({
    strategy,
    type,
    exit,
    restarted: restarted[at] ?? '',
  })),
);

describe("OTP's supervision table", () => {
  it.each(MATRIX)('$strategy: a $type child, by $exit: $restarted', async ({ strategy, type, exit, restarted }) => {
    await withSystem(async (stage) => {
      const { log, top, the } = await family(stage, { ...CALM, strategy }, { ...permanent, b: type });
      if (exit === 'crash') the('b').crash('boom');
      else the('b').stop();
      await stage.host.advance(100);
      const gone = restarted === 'x';
      const group = gone ? [] : restarted.split('');
      // The one that failed is down first; then the others of the group, the last started first; then all of it in start order.
      const down = ['b', ...group.filter((id) => id !== 'b').toReversed()];
      expect(log).toEqual([...down.map((id) => `-${id}`), ...group.map((id) => `+${id}`)]);
      expect(reportOf(stage, top)?.children.map(({ path }) => path.slice('/top/'.length))).toEqual(gone ? ['a', 'c'] : ['a', 'b', 'c']);
      expect(stage.takeCrashes()).toHaveLength(exit === 'crash' ? 1 : 0);
    });
  });
});

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

describe('restart intensity', () => {
  it('one more than it within the period is the failure of the supervisor', async () => {
    await withSystem(async (stage) => {
      const { log, top, the } = await family(
        stage,
        { intensity: 2, periodMs: 1_000, backoff: { minMs: 1, maxMs: 1, jitter: 0 } },
        permanent,
      );
      for (let i = 0; i < 2; i++) {
        the('b').crash('boom');
        await stage.host.advance(10);
      }
      expect(reportOf(stage, top)).toMatchObject({ restarts: 0 });
      log.length = 0;
      the('b').crash('boom');
      await stage.host.advance(200);
      expect(log).toEqual(['-b', '-c', '-a', '-top', '+top', '+a', '+b', '+c']);
      expect(reportOf(stage, top)).toMatchObject({
        restarts: 1,
        lastError: 'RestartLimitReached: /top gave up: 3 restarts of its children are more than its limit allows',
      });
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
      expect(stage.takeCrashes().map(({ outcome }) => outcome)).toEqual([
        'restart',
        'restart',
        'restart',
        'restart',
        'restart',
        'escalate',
        'restart',
      ]);
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
      expect(log.slice(-4)).toEqual(
        ['-leaf', '-middle', '-top', '-bystander'].toSorted((a, b) => log.slice(-4).indexOf(a) - log.slice(-4).indexOf(b)),
      );
      const outcomes = stage.takeCrashes().map(({ path, outcome }) => `${path} ${outcome}`);
      expect(outcomes.slice(0, 3)).toEqual(['/top/middle/leaf escalate', '/top/middle escalate', '/top restart']);
      expect(outcomes.slice(-4)).toEqual(['/top/middle/leaf escalate', '/top/middle escalate', '/top escalate', '/ stop']);
      expect(() => system.spawn({ id: 'late', restart: 'temporary', actor: probeActor({ log }) })).toThrow(
        expect.objectContaining({ code: 'ACTOR_CLOSED' }),
      );
    });
  });
});
