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
}

async function openScene(): Promise<Scene> {
  const folder = await temporaryFolder('session');
  const began: number[] = [];
  const vitals = (): ReturnType<typeof readVitals> => readVitals({ folder, platform: process.platform });
  let events: LinkEvents | undefined;
  const system = createSystem({ name: 'agent', host: realHost() });
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
      journal: await openJournal(folder, log),
      executor: {} as Executor,
      cacheFolder: folder,
      workFolder: folder,
      log,
      attempt: defineActor({
        protocol: AttemptProtocol,
        start(_context, { command }: AttemptArgs) {
          began.push(command.fence.seq);
          const nothing = (): void => undefined;
          return { upload: nothing, offerAgain: nothing, checkpointMade: nothing, uploadCheckpoint: nothing };
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
        return { send: (_message: FromAgent) => 'accepted' as const, close: async () => undefined, state: 'open' as const };
      },
      onRefused: () => undefined,
      onState: () => undefined,
    },
  });
  await session.report(undefined, { timeoutMs: 5_000 });
  if (events === undefined) throw new Error('the session opened no link');
  return { session, events, began };
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
