import { laneOfCommand } from '#actors/contract/agent-lanes.ts';
import type { AgentHello, FromAgent, RunCommand, ToAgent, VoteMessage, VotesMessage } from '#actors/contract/agent-link.ts';
import type { DeviceSummary } from '#actors/contract/live.ts';
import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import type { FeedRef } from '#actors/feed/feed.protocol.ts';
import type { Revive } from '#actors/generation/revive.ts';
import type { AttemptEvent, JobsRef } from '#actors/job/jobs.protocol.ts';
import type { ModelPoolRef, ModelsRef, ServingDevice } from '#actors/model-pool/model-pool.protocol.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { AttemptRow, Session } from '#actors/store/store.ts';
import { defineActor, type Timer } from '#runtime/kernel/actor.ts';
import { Backlog } from '#runtime/link/backlog.ts';
import type { LinkSession } from '#runtime/link/session.ts';

import { DeviceProtocol } from './device.protocol.ts';
import { BUSY_LEASE_MS, IDLE_LEASE_MS, isWantedBack, SUSPECT_MS } from './device.state.ts';
import { deviceSummary } from './device-view.ts';
import { freeForModels, ModelMemory } from './model-memory.ts';
import { Draining, GRACE_SECONDS } from './draining.ts';
import { OpenGenerations, refuse } from './open-generations.ts';
import { inRunBatches } from './run-batches.ts';
import { commandInItsWords, GENERATION_2, inItsWords, RECEIPTS } from './spoken-version.ts';
import type { DevicesRef } from './devices.protocol.ts';

export interface DeviceArgs {
  readonly services: Services;
  readonly session: Session;
  readonly link: LinkSession<FromAgent, ToAgent>;
  readonly hello: AgentHello;
  readonly devices: DevicesRef;
  readonly jobs: () => JobsRef;
  readonly placement: () => PlacementRef;
  readonly models: () => ModelsRef;
  readonly feed: FeedRef;
  readonly revive: Revive;
}

/** The job that a slot was leased for may be starting anew; after this long its slot serves others. */
const COMMAND_WITHIN_MS = 10_000;
/** Commands that may wait for room in the window, and how long one of them may find no room. */
const MOST_WAITING = 16_384;
const STALLED_MS = 10_000;

/** What agents say that take many commands in one message, and votes' answers likewise. */
const BATCHES = 'batches';

const MIB = 1_048_576;

type Offer = Extract<FromAgent, { type: 'offer' }>;

interface Running {
  /** Unknown for attempts of an earlier session: what they take shows in what is free. */
  readonly memoryMiB?: number;
  readonly job: string;
  readonly index: number;
  readonly fence: Fence;
}

/** One session; the states stand in device.state.ts. Ends itself when the session is over. */
export const deviceActor = defineActor({
  protocol: DeviceProtocol,
  mailbox: { capacity: 65_536 },
  start(context, args: DeviceArgs) {
    const { services, link, hello } = args;
    const { sessionEpoch } = args.session;
    let row = args.session.device;
    const device = row.id;
    const token = String(sessionEpoch);
    const running = new Map<string, Running>();
    /** Slots that placement has used up and no job has sent a command for. */
    const leased = new Map<string, { readonly job: string; readonly fence: Fence; readonly timer: Timer }>();
    /** Of running attempts: the newest thing that their job has to answer. A job that starts anew is told again. */
    const unanswered = new Map<string, VoteMessage | VotesMessage | Offer>();
    /** Commands that go out together at the end of the turn. */
    let runs: RunCommand[] = [];
    let turnEnds = false;
    /** The feed knows how this device is. */
    let isShown = true;
    /** Votes of an earlier session that may come once more, because nobody knows whether they arrived. */
    const resent = new Set(hello.held.map(fenceText));
    const generations = new OpenGenerations((model, by) => {
      memory.use(model, by);
      if (by < 0 && draining.on) changed();
    });
    const pools = new Map<string, { pool: ModelPoolRef; state: DeviceSummary['models'][number]; order: ToAgent }>();
    const gpuBytes = hello.capabilities.gpus.reduce((sum, gpu) => sum + gpu.memoryBytes, 0);
    let jobBytes = 0;
    const memory = new ModelMemory(gpuBytes > 0 ? gpuBytes : hello.capabilities.memoryBytes, {
      load(model) {
        const entry = pools.get(model);
        if (entry !== undefined && !command(entry.order)) notLoaded(model, 'the device is not reachable');
      },
      askToGo: (model) => void pools.get(model)?.pool.makeRoom(device),
      refuse: notLoaded,
    });
    const features = new Set(hello.capabilities.features);
    const slots = hello.capabilities.kinds.includes('wasm') ? hello.capabilities.slots : 0;
    const draining = new Draining(features, row.state === 'draining');
    let load: number | null = null;
    let suspended = false;
    let wantedBack = isWantedBack(hello.vitals);
    const backlog = new Backlog<ToAgent>({ send: (message) => link.send(message), lane: laneOfCommand, most: MOST_WAITING });
    let watched = false;
    link.onRoom(() => backlog.room());

    reportAttempts(args.session.attempts);
    args.placement().session({
      device,
      sessionEpoch,
      ref: context.self,
      capabilities: { ...hello.capabilities, slots },
      vitals: hello.vitals,
      draining: draining.on,
      held: [...running.values()],
    });
    renewLease();
    if (hello.capabilities.kinds.includes('inference')) args.models().serving(servingDevice());
    if (hello.capabilities.models.length > 0) args.models().offered({ device, ref: context.self, models: hello.capabilities.models });
    // An agent that was started anew knows nothing of it.
    if (draining.on) command(draining.turn(true, GRACE_SECONDS));
    for (const generation of hello.generations ?? []) command({ type: 'reattach', generation });
    args.feed.device(summary());
    context.onStop(end);
    context.showState(() => ({ ...summary(), suspended, attempts: [...running.keys()], sessionEpoch }));

    /** Tells each job which attempts came back with this session. */
    function reportAttempts(attempts: readonly AttemptRow[]): void {
      const held = new Set(hello.held.map(fenceText));
      const reports = attempts.map((attempt) => ({ attempt, held: held.has(fenceText(attempt.fence)), device: context.self }));
      for (const { attempt, held: isHeld } of reports) if (isHeld) running.set(fenceText(attempt.fence), attempt);
      if (reports.length > 0) args.jobs().report(reports);
    }

    function servingDevice(): ServingDevice {
      const { memoryBytes, sequences = 1 } = hello.capabilities;
      return { device, name: row.name, ref: context.self, memoryBytes: gpuBytes > 0 ? gpuBytes : memoryBytes, capacity: sequences };
    }

    function freed(fence: Fence, outcome: 'accepted' | 'failed' | 'none'): void {
      args.placement().freed({ device, sessionEpoch, fence, outcome });
    }

    function countJob(memoryMiB: number): void {
      // On a machine with GPUs models and jobs take different memory.
      if (gpuBytes === 0) memory.jobs((jobBytes += memoryMiB * MIB));
    }

    function renewLease(): void {
      const ttlMs = running.size > 0 ? BUSY_LEASE_MS : IDLE_LEASE_MS;
      void services.presence.set(device, token, ttlMs);
    }

    function summary(): DeviceSummary {
      const drained = draining.isDrained(running.size + generations.size);
      return deviceSummary(row, { running: running.size, load, models: [...pools.values()].map((p) => p.state), drained });
    }

    function changed(): void {
      isShown = false;
      endTurn();
    }

    /** Behind what already waits for this actor, so that what belongs together goes out together. */
    function endTurn(): void {
      if (turnEnds) return;
      turnEnds = true;
      context.self.turnEnded();
    }

    /** Down the link, or in line for it. An agent that reads nothing for long is worth less than the memory of its commands. */
    function command(message: ToAgent): boolean {
      const admission = backlog.send(message);
      if (admission === 'full') link.close('the agent does not keep up');
      if (backlog.size > 0 && !watched) watchBacklog();
      return admission === 'accepted';
    }

    function watchBacklog(): void {
      const moved = backlog.moved;
      watched = true;
      context.after(STALLED_MS, () => {
        watched = false;
        if (backlog.size === 0) return;
        if (backlog.moved === moved && !suspended) return link.close('the agent does not keep up');
        watchBacklog();
      });
    }

    function sendRuns(): void {
      const waiting = runs;
      runs = [];
      for (const message of inRunBatches(waiting, features.has(BATCHES))) command(message);
    }

    function release(fence: Fence, outcome: 'accepted' | 'failed' | 'none'): Running | undefined {
      const key = fenceText(fence);
      const attempt = running.get(key);
      if (attempt === undefined) return undefined;
      running.delete(key);
      countJob(-(attempt.memoryMiB ?? 0));
      unanswered.delete(key);
      freed(fence, outcome);
      // An agent with nothing to do beats rarely: the short lease of a busy one would end its session.
      // One whose socket is lost has not said that it lives: nothing lengthens its lease.
      if (running.size === 0 && !suspended) renewLease();
      changed();
      return attempt;
    }

    function tellJobs(event: AttemptEvent['event'], reason: string): void {
      for (const { job, index, fence } of running.values()) args.jobs().attempt({ job, index, fence, event, reason });
    }

    function vote(message: VoteMessage): void {
      const key = fenceText(message.fence);
      const known = unanswered.get(key);
      // The agent repeats what it heard nothing of: the first may have been lost on its way to the coordinator of its job.
      const again = known !== undefined && known.type !== 'offer' && known.signature === message.signature;
      if (running.has(key)) unanswered.set(key, message);
      tellVote(message, resent.delete(key) || again);
    }

    function tellVote(message: VoteMessage, again: boolean): void {
      const { publicKey, principal, trusted } = row;
      args.jobs().vote({ message, device, publicKey, principal, trusted, from: context.self, again });
    }

    function votes(message: VotesMessage): void {
      let again = false;
      for (const { fence } of message.votes) {
        const key = fenceText(fence);
        const known = unanswered.get(key);
        again ||= resent.delete(key) || (known !== undefined && known.type !== 'offer' && known.signature === message.signature);
        if (running.has(key)) unanswered.set(key, message);
      }
      tellVotes(message, again);
    }

    function tellVotes(message: VotesMessage, again: boolean): void {
      const { publicKey, principal, trusted } = row;
      args.jobs().votes({ message, device, publicKey, principal, trusted, from: context.self, again });
    }

    function offer(message: Offer): void {
      const key = fenceText(message.fence);
      if (running.has(key)) unanswered.set(key, message);
      args.jobs().offer({ ...message, index: message.shard, device, from: context.self });
    }

    function fromAgent(message: FromAgent): void {
      switch (message.type) {
        case 'beat':
          load = message.load;
          if (message.vitals !== undefined) heed(message.vitals);
          args.placement().condition({
            device,
            sessionEpoch,
            vitals: message.vitals ?? null,
            load: message.load,
            // Models that are being loaded do not show yet.
            memoryFreeBytes: gpuBytes > 0 ? message.memoryFreeBytes : Math.max(0, message.memoryFreeBytes - memory.loadingBytes),
          });
          memory.reading(freeForModels(gpuBytes, message));
          renewLease();
          args.devices.beat({ device, sessionEpoch });
          changed();
          return;
        case 'vote':
          return vote(message);
        case 'votes':
          return votes(message);
        case 'offer':
          return offer(message);
        case 'attemptFailed':
          return gaveUp(message, 'failed');
        case 'attemptReleased':
          // Only who was told to may give work back without it being held against him.
          return gaveUp(message, draining.on ? 'released' : 'failed');
        case 'drained':
          draining.answered();
          return changed();
        case 'checkpoint': {
          const known = running.get(fenceText(message.fence));
          if (known !== undefined) args.jobs().checkpoint({ job: known.job, index: known.index, device, from: context.self, message });
          return;
        }
        case 'modelState': {
          const entry = pools.get(message.model);
          if (entry === undefined) return;
          entry.state = { name: message.model, state: message.state, memoryBytes: message.memoryBytes };
          const { state, memoryBytes, reason } = message;
          if (memory.state(message.model, state, memoryBytes))
            entry.pool.state({ device, state, memoryBytes, ...(reason === undefined ? {} : { reason }) });
          changed();
          return;
        }
        case 'tokens':
        case 'generationEnded':
        case 'values':
          return generations.report(message);
        case 'reattached':
          return takeUp(message);
        default:
          message satisfies never;
      }
    }

    function gaveUp({ fence, reason }: { readonly fence: Fence; readonly reason: string }, event: 'failed' | 'released'): void {
      const known = release(fence, event === 'failed' ? 'failed' : 'none');
      if (known !== undefined) args.jobs().attempt({ job: known.job, index: known.index, fence: known.fence, event, reason });
    }

    /** An answer that a coordinator before this one had begun here. */
    function takeUp(message: Extract<FromAgent, { type: 'reattached' }>): void {
      const { generation, model } = message;
      const owner = args.revive({ message, device, ref: context.self });
      if (owner === null) return void command({ type: 'cancelGeneration', generation });
      generations.add(generation, owner, model);
    }

    function notLoaded(model: string, reason: string): void {
      memory.leaves(model);
      memory.state(model, 'failed', 0);
      pools.get(model)?.pool.state({ device, state: 'failed', memoryBytes: 0, reason });
    }

    /** A machine that runs on its battery, is too hot or has its owner back keeps generations only while nobody else can have them. */
    function heed(vitals: Vitals): void {
      const busy = isWantedBack(vitals);
      if (busy === wantedBack) return;
      wantedBack = busy;
      for (const { pool } of pools.values()) pool.avoid({ device, on: busy });
      if (busy) generations.sendAway();
    }

    function end(): void {
      args.placement().withdraw({ device, sessionEpoch });
      tellJobs('expired', 'the session of the device ended');
      generations.lost();
      void services.presence.remove(device, token);
      args.devices.changed(device);
    }

    return {
      leased({ job, fence }) {
        const key = fenceText(fence);
        const timer = context.after(COMMAND_WITHIN_MS, () => {
          leased.delete(key);
          freed(fence, 'none');
        });
        leased.set(key, { job, fence, timer });
      },
      jobEnded(job) {
        for (const [key, lease] of leased) {
          if (lease.job !== job) continue;
          lease.timer.cancel();
          leased.delete(key);
          freed(lease.fence, 'none');
        }
      },
      run(message) {
        const { fence, job, shard: index } = message;
        const key = fenceText(fence);
        if (!leased.has(key))
          return void args.jobs().attempt({ job, index, fence, event: 'released', reason: 'its slot was given to others' });
        leased.get(key)?.timer.cancel();
        leased.delete(key);
        running.set(key, { job, index, fence, memoryMiB: message.limits.memoryMiB });
        countJob(message.limits.memoryMiB);
        runs.push(commandInItsWords(message, features));
        changed();
        if (running.size === 1) renewLease();
      },
      stopAttempt({ partition, fence, reason }) {
        sendRuns();
        command({ type: 'stop', partition, fence, reason });
        release(fence, 'none');
      },
      turnEnded() {
        turnEnds = false;
        sendRuns();
        if (!isShown) args.feed.device(summary());
        isShown = true;
      },
      votesAccepted(fences) {
        if (features.has(BATCHES)) command({ type: 'votesAccepted', fences });
        else for (const fence of fences) command({ type: 'voteSettled', fence, outcome: 'accepted' });
        for (const fence of fences) release(fence, 'accepted');
      },
      voteSettled({ fence, outcome, reason }) {
        command({ type: 'voteSettled', fence, outcome, ...(reason === undefined ? {} : { reason: reason.slice(0, 500) }) });
        release(fence, outcome === 'accepted' ? 'accepted' : 'none');
      },
      upload({ fence, put }) {
        unanswered.delete(fenceText(fence));
        command({ type: 'upload', fence, ...(put === undefined ? {} : { put }) });
      },
      uploadCheckpoint: (leave) => void command({ type: 'uploadCheckpoint', ...leave }),
      fromAgent({ message, consumed }) {
        try {
          fromAgent(message);
        } finally {
          consumed();
        }
      },
      suspended() {
        suspended = true;
        args.placement().hold({ device, sessionEpoch, why: 'suspended', on: true });
        context.after(SUSPECT_MS, () => {
          if (!suspended) return;
          tellJobs('suspect', 'the socket was lost and not resumed at once');
          generations.sendAway();
        });
      },
      resumed() {
        suspended = false;
        args.placement().hold({ device, sessionEpoch, why: 'suspended', on: false });
        renewLease();
        generations.back();
      },
      closed(reason) {
        services.log.info({ device, reason }, 'session ended');
        context.stop();
      },
      leaseExpired() {
        link.close('no heartbeat within the lease');
      },
      unloadModel(model) {
        if (memory.leaves(model)) command({ type: 'unloadModel', model });
        else pools.get(model)?.pool.state({ device, state: 'unloaded', memoryBytes: 0 });
      },
      loadModel({ model, sha256, pool, needsBytes, file }) {
        const order = { type: 'loadModel', model, sha256, ...(file === undefined ? {} : { file }) } as const;
        pools.set(model, { pool, state: { name: model, state: 'loading', memoryBytes: 0 }, order });
        if (wantedBack) pool.avoid({ device, on: true });
        memory.want(model, needsBytes);
      },
      keepModel(model) {
        memory.keeps(model);
      },
      generate({ generation, model, request, owner, note, receipt }) {
        const spoken = inItsWords(request, features);
        if (spoken === null) return refuse(generation, owner, 'UNSUPPORTED', 'the agent of the device is too old for this request');
        const kept = note === undefined || !features.has(GENERATION_2) ? {} : { note };
        const signed = receipt && features.has(RECEIPTS) ? { receipt: true as const } : {};
        generations.begin(owner, { type: 'generate', generation, model, ...spoken, ...kept, ...signed }, command);
      },
      compute({ generation, model, task, owner }) {
        if (task.kind === 'audit' && !features.has(RECEIPTS))
          return refuse(generation, owner, 'UNSUPPORTED', 'the agent of the device is too old for audits');
        generations.begin(owner, { type: 'compute', generation, model, task }, command);
      },
      cancelGeneration(generation) {
        generations.close(generation);
        const unsent = backlog.remove((m) => (m.type === 'generate' || m.type === 'compute') && m.generation === generation);
        if (!unsent) command({ type: 'cancelGeneration', generation });
      },
      reportHeld(job) {
        const held = [...running.values()].filter((a) => a.job === job);
        if (held.length > 0) args.jobs().report(held.map((attempt) => ({ attempt, held: true, device: context.self })));
        const batches = new Set<VotesMessage>();
        for (const { fence } of held) {
          const message = unanswered.get(fenceText(fence));
          if (message?.type === 'vote') tellVote(message, true);
          if (message?.type === 'votes') batches.add(message);
          if (message?.type === 'offer') offer(message);
        }
        for (const message of batches) tellVotes(message, true);
      },
      drain({ on, graceSeconds }) {
        row = { ...row, state: on ? 'draining' : 'present' };
        command(draining.turn(on, graceSeconds));
        for (const { pool } of pools.values()) pool.draining({ device, on });
        if (on) generations.sendAway();
        args.placement().hold({ device, sessionEpoch, why: 'draining', on });
        changed();
      },
      revoke() {
        row = { ...row, state: 'revoked' };
        link.close('the device was revoked');
      },
      summary,
    };
  },
});
