import { threadId, type Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { realHost } from '#runtime/host.ts';
import type { ChildSpec, Restart } from '#runtime/kernel/actor.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import { ask, protocol } from '#runtime/kernel/protocol.ts';
import type { ActorRef, Ref } from '#runtime/kernel/ref.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { onThread, type ThreadOptions } from '#runtime/threads/on-thread.ts';
import { WINDOW } from '#runtime/threads/wire.ts';
import { CounterProtocol, type CounterArgs } from '#tests/support/placed-thread.ts';

const MODULE = new URL('../../../support/placed-thread.ts', import.meta.url);
const ASK = { timeoutMs: 15_000 };

type Options = Partial<ThreadOptions<typeof CounterProtocol>> & { readonly restart?: Restart; readonly failStart?: boolean };

let system: System;
let crashes: CrashReport[];
let tellCrash: ((crash: CrashReport) => void) | null;
let threads: Set<Worker>;
let gate: Int32Array;
let starts: Int32Array;

const counted = (worker: Worker): void => {
  threads.add(worker);
  worker.once('exit', () => threads.delete(worker));
};

beforeEach(() => {
  crashes = [];
  tellCrash = null;
  threads = new Set();
  gate = new Int32Array(new SharedArrayBuffer(4));
  starts = new Int32Array(new SharedArrayBuffer(4));
  process.on('worker', counted);
  system = createSystem({
    name: 'threads',
    host: realHost(),
    onCrash(crash) {
      crashes.push(crash);
      tellCrash?.(crash);
    },
  });
});

afterEach(async () => {
  open();
  await system.shutdown();
  process.off('worker', counted);
  expect(threads.size, 'threads left').toBe(0);
  const { sent, handled, deadLettered, queued } = system.accounting();
  expect(handled + deadLettered + queued).toBe(sent);
  expect(queued).toBe(0);
});

function open(): void {
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
}

function spec(options: Options = {}): ChildSpec<typeof CounterProtocol, CounterArgs> {
  const { restart = 'permanent', failStart, ...rest } = options;
  const actor = onThread<typeof CounterProtocol, CounterArgs>({
    host: realHost(),
    protocol: CounterProtocol,
    module: MODULE,
    name: 'counter',
    ...rest,
  });
  return { id: 'counter', restart, actor, args: { gate, starts, ...(failStart === undefined ? {} : { failStart }) } };
}

function nextCrash(): Promise<CrashReport> {
  return new Promise((resolve) => {
    tellCrash = resolve;
  });
}

const Watcher = protocol('watcher', { ended: ask<void, string>() });

/** Answers how the actor ended. */
function endOf(ref: ActorRef): Promise<string> {
  const watcher = system.spawn({
    restart: 'temporary',
    actor: defineActor({
      protocol: Watcher,
      start: (context) => ({ ended: () => context.answerLater((reply) => context.watch(ref, ({ reason }) => reply.resolve(reason))) }),
    }),
  });
  return watcher.ended(undefined, ASK);
}

describe('an actor on a thread', () => {
  it('is told and asked by an ordinary ref, in order, elsewhere', async () => {
    const ref: Ref<typeof CounterProtocol> = system.spawn(spec());
    const sent = Array.from({ length: 2_000 }, (_, n) => n);
    // More than the window, with more than the mailbox in between.
    for (const n of sent) {
      expect(ref.add(n)).toBe('accepted');
      if (n % 500 === 499) await ref.thread(undefined, ASK);
    }
    expect(await ref.seen(undefined, ASK)).toEqual(sent);
    expect(await ref.thread(undefined, ASK)).not.toBe(threadId);
    expect(threads.size).toBe(1);
  });

  it('answers many asks at once', async () => {
    const ref = system.spawn(spec());
    const asked = Array.from({ length: 600 }, (_, n) => n);
    expect(await Promise.all(asked.map((n) => ref.echo(n, ASK)))).toEqual(asked);
  });

  it('refuses with the code, place and help that the actor gave', async () => {
    const ref = system.spawn(spec());
    const refusal = { code: 'NOT_TODAY', message: 'come back tomorrow', path: 'day', fix: 'wait' };
    await expect(ref.refuse(undefined, ASK)).rejects.toMatchObject(refusal);
    expect(crashes).toEqual([]);
  });

  it('refuses what cannot be cloned, either way, and lives on', async () => {
    const ref = system.spawn(spec());
    const good = ref.echo('before', ASK);
    const bad = ref.echo(() => undefined, ASK);
    const also = ref.echo('after', ASK);
    await expect(bad).rejects.toMatchObject({ name: 'DataCloneError' });
    expect(await Promise.all([good, also])).toEqual(['before', 'after']);
    await expect(ref.echo(undefined, ASK)).rejects.toMatchObject({ code: 'ACTOR_CRASHED' });
    expect(await ref.echo(3, ASK)).toBe(3);
    expect(crashes).toEqual([]);
  });

  it('answers full when thread and mailbox hold all they may, and loses none of the rest', async () => {
    const ref = system.spawn(spec({ mailbox: { capacity: 100 } }));
    await ref.thread(undefined, ASK);
    ref.hold();
    const taken: number[] = [];
    for (let n = 0; n < 4 * WINDOW; n++) {
      if (ref.add(n) === 'accepted') taken.push(n);
      // Gives the stand-in its turns.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(taken.length).toBeGreaterThanOrEqual(WINDOW);
    expect(taken.length).toBeLessThanOrEqual(WINDOW + 101);
    open();
    // The mailbox is full still, for a moment.
    let seen: readonly number[] | null = null;
    while (seen === null) {
      seen = await ref.seen(undefined, ASK).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'MAILBOX_FULL' });
        return new Promise<null>((resolve) => setImmediate(resolve, null));
      });
    }
    expect(seen).toEqual(taken);
  });

  it.each([
    ['crashes', 'crash', 'on purpose', { name: 'RangeError', message: 'on purpose' }],
    ['leaves an error uncaught', 'throwLater', undefined, { message: 'nobody caught it' }],
    ['ends its thread', 'exit', 7, { name: 'ThreadLost' }],
    ['gets what cannot be cloned', 'drop', () => undefined, { name: 'DataCloneError' }],
  ] as const)('is started again on a new thread when it %s', async (_what, message, payload, error) => {
    const ref = system.spawn(spec());
    const before = await ref.thread(undefined, ASK);
    const crash = nextCrash();
    (ref[message] as (what: unknown) => void)(payload);
    expect(await crash).toMatchObject({ path: '/counter', outcome: 'restart', restartsInPeriod: 1, error });
    // Waits here meanwhile.
    ref.add(5);
    expect(await ref.seen(undefined, ASK)).toEqual([5]);
    expect(await ref.thread(undefined, ASK)).not.toBe(before);
    expect(Atomics.load(starts, 0)).toBe(2);
    expect(threads.size).toBe(1);
  });

  it('tells the asker whose message it crashed with, and refuses what waited behind', async () => {
    const ref = system.spawn(spec());
    const crash = nextCrash();
    const answers = await Promise.allSettled([ref.crashAsked(undefined, ASK), ref.echo(1, ASK)]);
    expect(answers).toMatchObject([
      { status: 'rejected', reason: { code: 'ACTOR_CRASHED' } },
      { status: 'rejected', reason: { code: 'ACTOR_CLOSED' } },
    ]);
    expect(await crash).toMatchObject({ error: { name: 'RangeError' } });
  });

  it.each([
    ['its start fails', { failStart: true }, /cannot start/],
    ['the module is not there', { module: new URL('nowhere.ts', MODULE) }, /nowhere/],
    ['the export is no actor', { name: 'notAnActor' }, /exports no actor/],
  ] as const)('crashes when %s', async (_what, options, message) => {
    const crash = nextCrash();
    const ref = system.spawn(spec({ ...options, restart: 'temporary' }));
    expect(await crash).toMatchObject({ activity: 'start', outcome: 'stop', error: { message: expect.stringMatching(message) as string } });
    expect(await endOf(ref)).toBe('crashed');
  });

  it('may end by itself', async () => {
    const ref = system.spawn(spec({ restart: 'transient' }));
    ref.leave();
    expect(await endOf(ref)).toBe('stopped');
    expect(threads.size).toBe(0);
    expect(ref.add(1)).toBe('closed');
  });

  it('is ended by force when it does not end in time', async () => {
    const ref = system.spawn(spec({ graceMs: 20 }));
    await ref.thread(undefined, ASK);
    ref.hold();
    const answer = ref.echo(1, ASK);
    answer.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    await system.stop(ref);
    await expect(answer).rejects.toMatchObject({ code: 'ACTOR_CLOSED' });
    expect(threads.size).toBe(0);
    expect(crashes).toEqual([]);
  });
});
