import { describe, expect, it, onTestFinished } from 'vitest';

import type { AgentHello, FromAgent, RunCommand, ToAgent } from '#actors/contract/agent-link.ts';
import type { AttemptArgs } from '#agent/attempt/attempt.actor.ts';
import { AttemptProtocol } from '#agent/attempt/attempt.protocol.ts';
import type { Executor } from '#agent/executors/executor.ts';
import type { ModelsArgs } from '#agent/models/models.actor.ts';
import { ModelsProtocol } from '#agent/models/models.protocol.ts';
import { openEpochs } from '#agent/session/epochs.ts';
import { openJournal } from '#agent/session/journal.ts';
import { sessionActor, type LinkEvents, type SessionArgs } from '#agent/session/session.actor.ts';
import type { SessionRef } from '#agent/session/session.protocol.ts';
import { readVitals } from '#agent/telemetry/vitals.ts';
import { realHost } from '#runtime/host.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import type { Log } from '#runtime/observe/log.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => log };
const MAILBOX = 65_536;

/** The session's actor with a link whose other end is the test, and attempts that only say that they began. */
interface Scene {
  readonly session: SessionRef;
  readonly events: LinkEvents;
  readonly began: number[];
  /** Fences of attempts that were asked for a checkpoint. */
  readonly asked: number[];
  /** What the grid was told, without beats. */
  readonly told: FromAgent[];
  /** Time goes on, in steps small enough for everything that is due. */
  readonly pass: (ms: number) => Promise<void>;
}

/** A real host on whose clock the test turns the hands: what is due runs then, and files are real. */
function steppedHost(): Host & { pass(ms: number): void } {
  const real = realHost();
  const { scheduler, clock } = real;
  let [now, timers]: [number, { readonly at: number; readonly run: () => void }[]] = [1_000, []];
  const after = (ms: number, run: () => void): { cancel: () => void } => {
    const timer = { at: now + ms, run };
    timers.push(timer);
    return { cancel: () => void (timers = timers.filter((one) => one !== timer)) };
  };
  return {
    random: () => real.random(),
    clock: { now: () => now, wall: () => clock.wall() },
    scheduler: { microtask: (run) => scheduler.microtask(run), yieldThen: (run) => scheduler.yieldThen(run), after },
    pass(ms) {
      now += ms;
      const due = timers.filter(({ at }) => at <= now);
      timers = timers.filter(({ at }) => at > now);
      for (const { run } of due) run();
    },
  };
}

async function openScene(): Promise<Scene> {
  const folder = await temporaryFolder('session');
  const [began, asked]: [number[], number[]] = [[], []];
  const told: FromAgent[] = [];
  const vitals = (): ReturnType<typeof readVitals> => readVitals({ folder, platform: process.platform });
  let events: LinkEvents | undefined;
  const host = steppedHost();
  const system = createSystem({ name: 'agent', host });
  onTestFinished(() => system.shutdown());
  const session = system.spawn({
    id: 'session',
    actor: sessionActor,
    restart: 'permanent',
    args: {
      capabilities: {
        agentVersion: 'test',
        hostname: 'test',
        os: 'linux',
        arch: 'x64',
        cores: 1,
        memoryBytes: 1,
        slots: 1,
        kinds: ['wasm'],
        gpus: [],
        models: [],
      },
      vitals: await vitals(),
      readVitals: vitals,
      key: generateKeyPair(),
      gridUrl: () => 'http://127.0.0.1:1',
      epochs: await openEpochs(folder),
      journal: await openJournal(folder, log, { clock: realHost().clock }),
      executor: {} as Executor,
      cacheFolder: folder,
      workFolder: folder,
      log,
      attempt: defineActor({
        protocol: AttemptProtocol,
        start(_context, { command }: AttemptArgs) {
          began.push(command.fence.seq);
          const nothing = (): void => undefined;
          return {
            upload: nothing,
            offerAgain: nothing,
            checkpointMade: nothing,
            uploadCheckpoint: nothing,
            checkpointNow: () => void asked.push(command.fence.seq),
          };
        },
      }),
      models: defineActor({
        protocol: ModelsProtocol,
        start: (_context, _args: ModelsArgs) => ({
          load: () => undefined,
          unload: () => undefined,
          generate: () => undefined,
          compute: () => undefined,
          cancel: () => undefined,
          abandon: () => undefined,
        }),
      }),
      // Nothing of it reaches the stand-ins.
      modelArgs: {} as SessionArgs['modelArgs'],
      openLink(heard: LinkEvents, _hello: () => AgentHello) {
        events = heard;
        const send = (message: FromAgent): 'accepted' => {
          if (message.type !== 'beat') told.push(message);
          return 'accepted';
        };
        return { send, close: async () => undefined, state: 'open' as const };
      },
      onRefused: () => undefined,
      onState: () => undefined,
    },
  });
  await session.report(undefined, { timeoutMs: 5_000 });
  if (events === undefined) throw new Error('the session opened no link');
  const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      host.pass(50);
      await idle();
    }
    await session.report(undefined, { timeoutMs: 5_000 });
  };
  return { session, events, began, asked, told, pass };
}

const fence = (seq: number): { epoch: number; seq: number } => ({ epoch: 1, seq });

function run(seq: number): RunCommand {
  return {
    type: 'run',
    partition: 3,
    fence: fence(seq),
    job: '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90',
    shard: 0,
    kind: 'wasm',
    module: { sha256: 'a'.repeat(64), size: 1 },
    args: [],
    input: [],
    framed: false,
    inputDigest: 'b'.repeat(64),
    limits: { memoryMiB: 1, timeoutSeconds: 1, outputMiB: 1 },
  };
}

const stop = (seq: number): ToAgent => ({ type: 'stop', partition: 3, fence: fence(seq), reason: 'cancelled' });
const running = async (session: SessionRef): Promise<number> => (await session.report(undefined, { timeoutMs: 5_000 })).running;

describe('commands from the grid', () => {
  it('are consumed, and give the grid its credit back, when they have been carried out and not before', async () => {
    const { session, events, began } = await openScene();
    const consumed = events.onMessage(run(1));
    expect(began).toEqual([]);
    await consumed;
    expect(began).toEqual([1]);
    await events.onMessage(stop(1));
    expect(await running(session)).toBe(0);
  });

  it('do not begin when their stop has overtaken them', async () => {
    const { session, events, began } = await openScene();
    await events.onMessage(stop(7));
    await events.onMessage(run(7));
    await events.onMessage(run(8));
    expect(began).toEqual([8]);
    expect(await running(session)).toBe(1);
  });

  it('that find the mailbox full end the session: a throw, so that the link hands them back to the grid', async () => {
    const { session, events } = await openScene();
    const taken: (void | Promise<void>)[] = [];
    const flood = (): void => {
      while (taken.length <= MAILBOX) taken.push(events.onMessage({ type: 'drain', on: true }));
    };
    expect(flood).toThrow('no room for the command drain');
    await Promise.all(taken.map(async (consumed) => consumed));
    expect(await running(session)).toBe(0);
  });
});

describe('a drain', () => {
  const drain = (graceSeconds: number): ToAgent => ({ type: 'drain', on: true, graceSeconds });
  const undrain: ToAgent = { type: 'drain', on: false };
  const released = (told: readonly FromAgent[]): number[] => told.flatMap((m) => (m.type === 'attemptReleased' ? [m.fence.seq] : []));
  const checkpoint = (seq: number): Parameters<SessionRef['checkpoint']>[0] => {
    return { type: 'checkpoint', fence: fence(seq), event: 'stored', checkpoint: { sha256: 'c'.repeat(64), size: 1 }, steps: 1 };
  };

  it('is over at once where nothing runs, and says so again to a new session', async () => {
    const { events, told } = await openScene();
    await events.onMessage(drain(60));
    await events.onMessage(drain(60));
    expect(told).toEqual([{ type: 'drained' }, { type: 'drained' }]);
  });

  it('takes nothing new and lets what runs end; undrained it works again', async () => {
    const { session, events, began, told } = await openScene();
    await events.onMessage(run(1));
    await events.onMessage(drain(60));
    await events.onMessage(run(2));
    expect([began, released(told)]).toEqual([[1], [2]]);
    session.failed({ fence: fence(1), job: run(1).job, shard: 0, reason: 'it trapped' });
    expect(await running(session)).toBe(0);
    expect(told.map((m) => m.type)).toEqual(['attemptReleased', 'attemptFailed', 'drained']);
    await events.onMessage(undrain);
    await events.onMessage(run(3));
    expect(began).toEqual([1, 3]);
  });

  it('gives back what the grace does not suffice for', async () => {
    const { session, events, asked, told, pass } = await openScene();
    await events.onMessage(run(1));
    await events.onMessage(drain(0));
    await pass(100);
    await expect.poll(() => told.map((m) => m.type)).toEqual(['attemptReleased', 'drained']);
    expect([asked, await running(session)]).toEqual([[1], 0]);
  });

  it('asks for a checkpoint towards the end of the grace, and gives back whoever has left one', async () => {
    const { session, events, asked, told, pass } = await openScene();
    for (const seq of [1, 2]) await events.onMessage(run(seq));
    session.checkpoint(checkpoint(1));
    await events.onMessage(drain(4));
    expect(released(told)).toEqual([]);
    await pass(1_900);
    expect(asked).toEqual([]);
    await pass(200);
    expect(asked).toEqual([1, 2]);
    session.checkpoint(checkpoint(2));
    expect(await running(session)).toBe(1);
    expect(released(told)).toEqual([2]);
    await pass(1_700);
    expect(released(told)).toEqual([2]);
    await pass(300);
    expect(released(told)).toEqual([2, 1]);
    await expect.poll(() => told.at(-1)).toEqual({ type: 'drained' });
  });

  it('of a coordinator that gives no grace gets no answer, which it would not understand', async () => {
    const { events, told, began } = await openScene();
    await events.onMessage({ type: 'drain', on: true });
    await events.onMessage(run(1));
    expect([told, began]).toEqual([[], [1]]);
  });
});
