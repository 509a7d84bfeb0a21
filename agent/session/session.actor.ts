import { loadavg, freemem } from 'node:os';

import { laneOfReport } from '#actors/contract/agent-lanes.ts';
import {
  commandsOf,
  type AgentHello,
  type Capabilities,
  type FromAgent,
  type RunCommand,
  type ToAgent,
} from '#actors/contract/agent-link.ts';
import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import type { AttemptArgs } from '#agent/attempt/attempt.actor.ts';
import type { AttemptProtocol, AttemptRef } from '#agent/attempt/attempt.protocol.ts';
import type { Executor } from '#agent/executors/executor.ts';
import { GenerationLogs } from '#agent/models/generation-logs.ts';
import type { ModelsProtocol, ModelsRef } from '#agent/models/models.protocol.ts';
import type { ModelsArgs } from '#agent/models/models.actor.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { defineActor, type ActorDefinition, type Settled, type Timer } from '#runtime/kernel/actor.ts';
import { Backlog } from '#runtime/link/backlog.ts';
import type { LinkClient, LinkClientOptions } from '#runtime/link/client.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { Epochs } from './epochs.ts';
import type { Journal } from './journal.ts';
import { createVoteSigner } from '#agent/attempt/vote-signer.ts';
import { createDrain } from './drain.ts';
import { inBatches } from './vote-batches.ts';
import { SessionProtocol } from './session.protocol.ts';

/** A vote that was not settled for this long is sent again: its answer may have been lost with its reader. */
const RESEND_MS = 60_000;

/** Votes of one batch that reach the journal within this go out in one message. */
const GATHER_MS = 10;

/** What the session wants to hear of its link. */
export type LinkEvents = Required<
  Pick<LinkClientOptions<ToAgent, FromAgent>, 'onOpen' | 'onMessage' | 'onSuspended' | 'onRefused' | 'onRoom'>
>;

/** Beats: every second while attempts are held, every 15 s otherwise; the grid's leases are several times as long. */
const BEAT_MS = 1_000;
/** Files under Linux; elsewhere a program each time. */
const VITALS_MS = process.platform === 'linux' ? 1_000 : 5_000;
const IDLE_BEATS = 15;

export interface SessionArgs {
  readonly capabilities: Capabilities;
  /** As they were when the agent started. */
  readonly vitals: Vitals;
  readonly readVitals: () => Promise<Vitals>;
  readonly key: KeyPair;
  readonly gridUrl: () => string;
  readonly epochs: Epochs;
  readonly journal: Journal;
  readonly executor: Executor;
  readonly cacheFolder: string;
  readonly workFolder: string;
  readonly log: Log;
  readonly attempt: ActorDefinition<typeof AttemptProtocol, AttemptArgs>;
  readonly models: ActorDefinition<typeof ModelsProtocol, ModelsArgs>;
  readonly modelArgs: Omit<ModelsArgs, 'send' | 'logs'>;
  readonly openLink: (events: LinkEvents, hello: () => AgentHello) => LinkClient<FromAgent>;
  /** The grid refused this device for good. */
  readonly onRefused: (reason: string) => void;
  readonly onState: (connected: boolean) => void;
}

/** Reports that may wait for room in the link's window; generations stop computing long before. */
const MOST_WAITING = 65_536;

/** Most of them are of attempts that had ended; commands on the way are never so many. */
const STOPS_REMEMBERED = 10_000;

interface HeldAttempt {
  readonly ref: AttemptRef;
  readonly fence: Fence;
  readonly job: string;
  readonly shard: number;
}

export const sessionActor = defineActor({
  protocol: SessionProtocol,
  mailbox: { capacity: 65_536 },
  start(context, args: SessionArgs) {
    const { journal, epochs, log } = args;
    const attempts = new Map<string, HeldAttempt>();
    /** Attempts that were stopped and are not here: ended already, or not begun. */
    const stoppedEarly = new Set<string>();
    /** Votes handed to the link in this session; the others are sent as soon as it takes them. */
    const sent = new Map<string, number>();
    let connected = false;
    let gathering: Timer | null = null;
    /** The grid has sent a batch of commands in this session, so it knows batches of votes. */
    let takesBatches = false;
    let beats = 0;
    let vitals = args.vitals;
    const signer = createVoteSigner({ key: args.key, slots: args.capabilities.slots, after: (ms, run) => context.after(ms, run) });

    const drain = createDrain({
      now: () => context.clock.now(),
      after: (ms, run) => context.after(ms, run),
      unfinished: () => attempts.size + journal.pending().length,
      close: () => {
        for (const { ref } of attempts.values()) ref.checkpointNow();
      },
      release: () => {
        for (const held of attempts.values()) giveBack(held, 'the machine is drained and its grace is over');
      },
      drained: () => void send({ type: 'drained' }),
    });

    const logs = new GenerationLogs({
      after: (ms, run) => context.after(ms, run),
      send: (message, taken) => void send(message, taken),
    });
    const models: ModelsRef = context.spawn({
      id: 'models',
      actor: args.models,
      restart: 'permanent',
      args: { ...args.modelArgs, send: (message, taken) => void send(message, taken), logs },
    });

    const link = args.openLink(
      {
        onOpen: ({ resumed }) => void context.self.opened({ resumed }),
        onMessage(message) {
          const { promise, resolve } = Promise.withResolvers<void>();
          // The link ends the session by this, and the grid gets back what it sent.
          if (context.self.message({ message, consumed: resolve }) === 'full') throw new Error(`no room for the command ${message.type}`);
          return promise;
        },
        onSuspended: () => void context.self.suspended(),
        onRefused: (reason, final) => void context.self.refused({ reason, final }),
        onRoom: () => backlog.room(),
      },
      hello,
    );
    const backlog = new Backlog<FromAgent>({ send: (message) => link.send(message), lane: laneOfReport, most: MOST_WAITING });
    context.onStop(() => link.close());
    context.every(BEAT_MS, beat);
    context.every(VITALS_MS, () => context.pipe(args.readVitals(), noteVitals));

    /** What we still hold: the grid compares it with what it leased us. */
    function hello(): AgentHello {
      const held = [...[...attempts.values()].map((a) => a.fence), ...journal.pending().map((v) => v.fence)];
      return { capabilities: args.capabilities, vitals, held, epochs: epochs.all(), generations: logs.ids() };
    }

    function send(message: FromAgent, taken?: () => void): boolean {
      return backlog.send(message, taken) === 'accepted';
    }

    function sendVotes(): void {
      const due = journal.pending().filter(({ fence }) => {
        const at = sent.get(fenceText(fence));
        return at === undefined || context.clock.now() - at >= RESEND_MS;
      });
      for (const { message, fences } of takesBatches ? inBatches(due) : due.map((vote) => ({ message: vote, fences: [vote.fence] }))) {
        if (!send(message)) return;
        for (const fence of fences) sent.set(fenceText(fence), context.clock.now());
      }
    }

    /** The others of its batch are being written to the journal. */
    function sendSoon(): void {
      gathering ??= context.after(GATHER_MS, () => {
        gathering = null;
        if (connected) sendVotes();
      });
    }

    function beat(): void {
      if (!connected) return;
      sendVotes();
      const busy = attempts.size > 0 || journal.pending().length > 0;
      beats += 1;
      if (!busy && beats % IDLE_BEATS !== 0) return;
      sendBeat();
    }

    function sendBeat(): void {
      const [load = 0] = loadavg();
      send({ type: 'beat', load, memoryFreeBytes: freemem(), running: attempts.size, vitals });
    }

    /** The grid hears at once of what decides about work. */
    function noteVitals(reading: Settled<Vitals>): void {
      if (!reading.ok) throw reading.error;
      const decides = reading.value.power !== vitals.power || reading.value.owner !== vitals.owner;
      vitals = reading.value;
      if (decides && connected) sendBeat();
    }

    async function run(command: RunCommand): Promise<void> {
      const key = fenceText(command.fence);
      if (attempts.has(key) || stoppedEarly.delete(key)) return;
      if (drain.on) return giveBack(command, 'the machine drains and takes nothing new');
      if (!(await epochs.admit(command.partition, command.fence.epoch))) {
        log.warn({ fence: key, partition: command.partition }, 'command of a lower epoch refused');
        return;
      }
      const ref = context.spawn({
        id: `attempt-${key}`,
        actor: args.attempt,
        restart: 'temporary',
        args: {
          command,
          owner: {
            offer: (offer) => void context.self.offer(offer),
            checkpoint: (message) => void context.self.checkpoint(message),
            finished: (vote) => void context.self.finished(vote),
            failed: (failure) => void context.self.failed(failure),
          },
          executor: args.executor,
          signer,
          gridUrl: args.gridUrl,
          cacheFolder: args.cacheFolder,
          workFolder: args.workFolder,
          log,
        },
      });
      const { fence, job, shard } = command;
      attempts.set(key, { ref, fence, job, shard });
      // A crash of the attempt's actor is a failed attempt, never a silent one.
      context.watch(ref, ({ reason }) => {
        if (reason === 'crashed' && attempts.has(key))
          context.self.failed({ fence, job, shard, reason: 'the agent could not carry it out' });
      });
    }

    async function stopAttempt(fence: Fence): Promise<void> {
      const key = fenceText(fence);
      if (!attempts.delete(key)) return;
      await context.stopChild(`attempt-${key}`);
      drain.check();
    }

    /** Its shard goes on elsewhere, from its last checkpoint when there is one. */
    function giveBack({ fence, job, shard }: Omit<HeldAttempt, 'ref'>, reason: string): void {
      send({ type: 'attemptReleased', fence, job, shard, reason });
      const key = fenceText(fence);
      if (!attempts.delete(key)) return;
      context.pipe(context.stopChild(`attempt-${key}`), (ended) => {
        if (!ended.ok) throw ended.error;
        drain.check();
      });
    }

    /** The stop goes by the link's quick lane: its command may still be on the way. */
    async function stop(fence: Fence): Promise<void> {
      const key = fenceText(fence);
      if (attempts.has(key)) return stopAttempt(fence);
      stoppedEarly.add(key);
      const [oldest] = stoppedEarly;
      if (stoppedEarly.size > STOPS_REMEMBERED && oldest !== undefined) stoppedEarly.delete(oldest);
    }

    async function settle(fence: Fence): Promise<void> {
      sent.delete(fenceText(fence));
      await stopAttempt(fence);
      await journal.settle(fence);
      drain.check();
    }

    async function obey(message: ToAgent): Promise<void> {
      switch (message.type) {
        case 'run':
          return run(message);
        case 'runs':
          takesBatches = true;
          for (const command of commandsOf(message)) await run(command);
          return;
        case 'stop':
          // A stop from a lower epoch may be a zombie's: the attempt's owner of today will say so itself.
          if (await epochs.admit(message.partition, message.fence.epoch)) await stop(message.fence);
          return;
        case 'voteSettled': {
          const key = fenceText(message.fence);
          if (message.outcome === 'refused') log.warn({ fence: key, reason: message.reason }, 'the grid refused a vote');
          return settle(message.fence);
        }
        case 'votesAccepted':
          for (const fence of message.fences) await settle(fence);
          return;
        case 'upload':
          attempts.get(fenceText(message.fence))?.ref.upload(message.put ?? null);
          return;
        case 'uploadCheckpoint':
          attempts.get(fenceText(message.fence))?.ref.uploadCheckpoint({ sha256: message.sha256, put: message.put ?? null });
          return;
        case 'loadModel':
          models.load({ model: message.model, sha256: message.sha256, file: message.file });
          return;
        case 'unloadModel':
          models.unload(message.model);
          return;
        case 'generate': {
          const { type: _type, generation, model, note, receipt = false, ...request } = message;
          models.generate({ generation, model, request, note, receipt });
          return;
        }
        case 'compute': {
          const { generation, model, task } = message;
          models.compute({ generation, model, task });
          return;
        }
        case 'reattach':
          logs.reattach(message.generation);
          return;
        case 'cancelGeneration':
          logs.forget(message.generation);
          models.cancel(message.generation);
          return;
        case 'drain':
          log.info({ on: message.on, graceSeconds: message.graceSeconds }, 'drain');
          // A coordinator that gives no grace would not understand the answers: it sends nothing new and waits.
          if (message.on && message.graceSeconds !== undefined) drain.begin(message.graceSeconds * 1_000);
          else drain.end();
          return;
        default:
          message satisfies never;
      }
    }

    return {
      opened({ resumed }) {
        connected = true;
        args.onState(true);
        // A new session knows nothing of what the old one carried: every unsettled vote goes again.
        if (!resumed) {
          backlog.clear();
          logs.detach();
          models.abandon();
          takesBatches = false;
          sent.clear();
          for (const { ref } of attempts.values()) ref.offerAgain();
        }
        sendVotes();
        sendBeat();
      },
      async message({ message, consumed }) {
        try {
          await obey(message);
        } finally {
          consumed();
        }
      },
      suspended() {
        connected = false;
        args.onState(false);
      },
      refused({ reason, final }) {
        connected = false;
        log.warn({ reason, final }, 'the grid refuses this device');
        if (final) args.onRefused(reason);
      },
      offer(offer) {
        send({ type: 'offer', ...offer });
      },
      checkpoint(message) {
        const held = attempts.get(fenceText(message.fence));
        if (held === undefined) return;
        send(message);
        if (drain.closing && message.event === 'stored') giveBack(held, 'the machine is drained; it left a checkpoint');
      },
      async finished(vote) {
        // The lease may have been taken back while the last byte was written.
        if (!attempts.has(fenceText(vote.fence))) return;
        await journal.add(vote);
        attempts.delete(fenceText(vote.fence));
        if (takesBatches && vote.batch !== undefined) sendSoon();
        else sendVotes();
      },
      failed({ fence, job, shard, reason }) {
        if (!attempts.delete(fenceText(fence))) return;
        send({ type: 'attemptFailed', fence, job, shard, reason });
        drain.check();
      },
      send(message) {
        send(message);
      },
      report() {
        return { connected, running: attempts.size, unsettledVotes: journal.pending().length };
      },
    };
  },
});
