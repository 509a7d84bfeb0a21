import type { RunCommand } from '#actors/contract/agent-link.ts';
import { mapShardCount, needsOf } from '#actors/contract/job-spec.ts';
import type { JobSummary } from '#actors/contract/live.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { DevicesRef } from '#actors/device/devices.protocol.ts';
import type { FeedRef } from '#actors/feed/feed.protocol.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { QuorumArgs } from '#actors/quorum/quorum.actor.ts';
import type { QuorumProtocol } from '#actors/quorum/quorum.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { ShardArgs } from '#actors/shard/shard.actor.ts';
import type { ShardProtocol, ShardRef } from '#actors/shard/shard.protocol.ts';
import type { ActiveJob, JobRow, Lease, VoteRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

import type { TrustBook } from '#actors/quorum/trust-book.ts';
import { CONTROLS, afterVote, isFinal, nextStep, ShardTable, type Control } from './job.state.ts';
import { JobProtocol } from './job.protocol.ts';
import { lookAtNeeds, withInputs } from './job-needs.ts';
import { jobSummary } from './job-view.ts';
import { makeManifest, type Sealed } from './manifest.ts';
import { reviewPass } from './review-pass.ts';
import { withCheckpoint } from './checkpoints.ts';
import { inputDigest, isMergeShard, moduleAddresses, moduleOf, runCommand, type ShardOutput } from './run-command.ts';

/** After a coordinator was lost, devices get this long to come back with the attempts that they hold. */
const GRACE_MS = 10_000;
/** After so many reviews of a job's evidence, what is still in doubt goes to a trusted device at once. */
const REVIEWS = 8;
/** The live feed hears of a job at most this often. */
const FEED_MS = 100;
/** A job that waits for others looks at them this often, though nobody says that they ended: they may be another coordinator's. */
const NEEDS_MS = 5_000;
/** More changes at once are not told one by one: who watches looks at the whole job again. */
const MOST_CHANGES = 20_000;

export interface JobArgs {
  readonly services: Services;
  readonly job: string;
  readonly epoch: number;
  readonly placement: PlacementRef;
  readonly feed: FeedRef;
  readonly devices: () => DevicesRef;
  readonly quorum: ActorDefinition<typeof QuorumProtocol, QuorumArgs>;
  readonly shard: ActorDefinition<typeof ShardProtocol, ShardArgs>;
  /** Credit of devices, shared by all jobs of this coordinator. */
  readonly book: TrustBook;
  readonly auditSecret: Uint8Array;
}

/**
 * One job. Claims its row, wakes the QuorumActor, starts a ShardActor for each leased shard, and moves the job on when
 * its shards are settled. A crash of any child is a crash of the job: it starts again from the store, which is the truth.
 */
export const jobActor = defineActor({
  protocol: JobProtocol,
  supervise: { strategy: 'one-for-one', intensity: 0, periodMs: 1_000 },
  mailbox: { capacity: 65_536 },
  async start(context, args: JobArgs) {
    const { services, epoch, placement, feed } = args;
    // What an earlier life of this actor submitted is still being written when the database was away: read after it.
    await services.ledger.answered();
    const active = await services.patiently(() => services.store.activateJob(args.job, epoch));
    if (active === null) throw new Error(`job ${args.job} is not there`);
    let job: JobRow = active.job;
    let votes = active.voteCount;
    let seq = 0;
    let published = true;
    const table = new ShardTable(active.states);
    /** Small outputs live in their votes, and the merge shard's command needs their bytes: by digest, also of votes that decided nothing yet. */
    const inlineBytes = new Map<string, Uint8Array>();
    /** Of map shards, for the merge; a job without one keeps none. */
    const outputs: (ShardOutput | undefined)[] = [];
    await readOutputs();
    const shards = new Map<number, ShardRef>();
    /** Attempts from before this life that no device has come back with, by the number of their fence. */
    const unclaimed = new Map<number, ActiveJob['attempts'][number]>();
    const tools = { objects: services.objects, addressOf: moduleAddresses(services.objects, () => context.clock.now()) };
    /** Of shards that are being worked on. */
    const digests = new Map<number, string>();
    let working = false;
    let reviews = 0;
    let beginning = false;
    let begunAgain = false;
    const trust = await services.patiently(() => args.book.page(job.spec.module.sha256));

    if (isFinal(job.state)) context.stop();
    if (job.state === 'queued' && needsOf(job.spec).length === 0) await move(['queued'], 'running');

    const quorum = context.spawn({
      id: 'quorum',
      actor: args.quorum,
      restart: 'transient',
      mailbox: { capacity: 65_536 },
      args: {
        services,
        job,
        epoch,
        states: active.states,
        touched: active.touched,
        attempts: active.attempts,
        votes: active.votes,
        owner: context.self,
        trust,
        book: args.book,
        auditSecret: args.auditSecret,
        // Only the merge shard reads them: collecting them costs as much as the job has shards.
        inputDigest: (index) => digests.get(index) ?? inputDigest(job.spec, index, isMergeShard(job.spec, index) ? mapOutputs() : []),
        moduleOf: (spec, index) => moduleOf(spec, index).sha256,
        onVoted: (index, vote) => voted(index, vote),
      },
    });

    expireUnclaimed(active);
    tellPlacement();
    args.devices().reportHeld(job.id);
    begin();
    watchDeadline();
    step();
    publish();

    /** A queued job that needs others begins when all of them are done. */
    function begin(): void {
      if (job.state !== 'queued') return;
      if (beginning) {
        begunAgain = true;
        return;
      }
      beginning = true;
      begunAgain = false;
      context.pipe(beginWhenMet(), (result) => {
        beginning = false;
        // The database may be away, or the object store. The next look comes soon.
        if (!result.ok) services.log.warn({ job: job.id, error: result.error }, 'the jobs that this one needs were not read');
        if (isFinal(job.state)) return finish();
        if (job.state === 'running') {
          tellPlacement();
          step();
        } else if (begunAgain) begin();
        else context.after(NEEDS_MS, begin);
      });
    }

    async function beginWhenMet(): Promise<void> {
      const needs = await lookAtNeeds(services.store, job);
      if (needs.type === 'broken') return void (await move(['queued'], 'failed', needs.reason));
      if (needs.type === 'waiting') {
        if (job.reason !== needs.reason) await move(['queued'], 'queued', needs.reason);
        return;
      }
      const spec = await withInputs(services, job.spec, context.clock.wall());
      if (spec !== job.spec) {
        if (!(await services.store.resolveSpec(job.id, epoch, spec))) return;
        job = { ...job, spec };
      }
      await move(['queued'], 'running');
    }

    function watchDeadline(): void {
      const { deadlineSeconds } = job.spec;
      if (deadlineSeconds === undefined || isFinal(job.state)) return;
      const left = job.submittedAt + deadlineSeconds * 1_000 - context.clock.wall();
      context.after(Math.max(0, left), () => {
        const missed = move(['queued', 'running', 'paused'], 'failed', `its deadline passed, ${deadlineSeconds} s after it was submitted`);
        context.pipe(missed, (result) => {
          if (!result.ok) throw result.error;
          if (result.value) finish();
        });
      });
    }

    /** Only a running job has shards to place. */
    function tellPlacement(): void {
      if (job.state === 'running') placement.open(job);
      else placement.closed(job.id);
    }

    async function readOutputs(): Promise<void> {
      if (!job.spec.merge || votes === 0) return;
      for (const vote of await services.patiently(() => services.store.votesOf(job.id, null))) keepBytes(vote);
      for (const { index, output } of await services.patiently(() => services.store.shardsOf(job.id))) keepOutput(index, output);
    }

    function keepOutput(index: number, output: ObjectRef | null): void {
      if (output !== null && job.spec.merge) outputs[index] = { ref: output, bytes: inlineBytes.get(output.sha256) ?? null };
    }

    function keepBytes({ bytes, refusal, output }: VoteRow): void {
      if (bytes !== null && refusal === null && job.spec.merge) inlineBytes.set(output.sha256, bytes);
    }

    function mapOutputs(): ShardOutput[] {
      return outputs.slice(0, mapShardCount(job.spec)).filter((o) => o !== undefined);
    }

    function voted(index: number, vote: VoteRow): void {
      keepBytes(vote);
      shards.get(index)?.voted(vote.fence);
    }

    /** Attempts from before this activation whose device does not come back lose their lease; they may still vote. */
    function expireUnclaimed({ attempts }: ActiveJob): void {
      if (attempts.length === 0) return;
      for (const attempt of attempts) unclaimed.set(attempt.fence.seq, attempt);
      context.after(GRACE_MS, () => {
        for (const { fence, index } of unclaimed.values()) {
          if (table.get(index) === 'provisional') continue;
          const reason = 'the device did not come back after the coordinator restarted';
          shardOf(index).attempt({ job: job.id, index, fence, event: 'expired', reason });
        }
        unclaimed.clear();
      });
    }

    function shardOf(index: number): ShardRef {
      let ref = shards.get(index);
      if (ref === undefined) {
        ref = context.spawn({
          id: `shard-${index}`,
          actor: args.shard,
          restart: 'transient',
          args: {
            services,
            job,
            epoch,
            index,
            owner: context.self,
            command,
          },
        });
        shards.set(index, ref);
      }
      return ref;
    }

    async function command(lease: Lease): Promise<RunCommand> {
      const isMerge = isMergeShard(job.spec, lease.index);
      const made = await runCommand(job, lease, isMerge ? mapOutputs() : [], tools);
      // What the merge shard reads may still be corrected.
      if (!isMerge) digests.set(lease.index, made.inputDigest);
      const { store, objects, log } = services;
      return withCheckpoint({ store, objects, log, job, trusted: (id) => trust.memberOf(id)?.trusted === true }, lease, made);
    }

    function settleShard(index: number, reason: 'superseded' | 'cancelled' | 'paused'): void {
      shards.get(index)?.settled(reason);
      shards.delete(index);
      digests.delete(index);
    }

    function summary(): JobSummary {
      const pending = table.count('pending');
      const reasons =
        job.state === 'running' && pending > 0 ? [{ reason: 'waiting for a free device that has not worked on it', shards: pending }] : [];
      return jobSummary(job, table.counts(), votes, reasons);
    }

    function publish(): void {
      if (!published) return;
      published = false;
      context.after(FEED_MS, flush);
    }

    function flush(): void {
      published = true;
      const changes = table.takeChanges();
      const isTold = changes.length <= MOST_CHANGES;
      // A gap in the numbers is how watchers know that they missed something.
      seq += isTold ? 1 : 2;
      feed.job({ seq, summary: summary(), changes: isTold ? changes : [] });
    }

    async function move(from: readonly JobRow['state'][], to: JobRow['state'], reason: string | null = null): Promise<boolean> {
      const at = context.clock.wall();
      if (!(await services.store.moveJob(job.id, epoch, from, to, reason, at))) return false;
      job = { ...job, state: to, reason, finishedAt: isFinal(to) ? at : null };
      publish();
      return true;
    }

    /** Does what the shards' states ask for; one step at a time, and again until nothing is left to do. */
    function step(): void {
      if (working) return;
      const next = nextStep(job.spec, job.state, table);
      if (next === 'none') return;
      working = true;
      context.pipe(next === 'seal' ? seal() : unblockMerge(), (result) => {
        working = false;
        if (!result.ok) throw result.error;
        publish();
        if (isFinal(job.state)) finish();
        else step();
      });
    }

    /** Null when a result was taken back: the job goes on, and is reviewed again when all its shards are accepted anew. */
    async function reviewed(): Promise<{ sealed: Sealed; staleMerge: boolean } | null> {
      const result = await reviewPass({
        store: services.store,
        objects: services.objects,
        job,
        epoch,
        quorum,
        lastWord: reviews >= REVIEWS,
      });
      reviews += 1;
      if (result.type === 'stands') return result;
      if (result.type === 'lost') {
        await move(['running', 'paused', 'sealing'], 'failed', `shard ${result.index}: ${result.reason}`);
        return null;
      }
      for (const index of result.reopened) {
        outputs[index] = undefined;
        table.set(index, 'voting');
      }
      if (job.state === 'sealing' && (await move(['sealing'], 'running'))) tellPlacement();
      services.log.info({ job: job.id, shards: result.reopened.length }, 'shards taken back: their voters lost credit');
      placement.wake(job.id);
      return null;
    }

    async function unblockMerge(): Promise<void> {
      if ((await reviewed()) === null) return;
      await services.store.unblockMerge(job.id, epoch);
      table.set(mapShardCount(job.spec), 'pending');
      placement.wake(job.id);
    }

    async function seal(): Promise<void> {
      const evidence = await reviewed();
      if (evidence === null) return;
      if (job.state !== 'sealing' && !(await move(['running'], 'sealing'))) return;
      if (evidence.staleMerge) {
        await move(['sealing'], 'failed', 'a map result was corrected after the merge had run: submit the job again');
        return;
      }
      const at = context.clock.wall();
      const manifest = makeManifest(job, evidence.sealed, epoch, { key: services.key, at });
      if (!(await services.store.seal(manifest, epoch))) throw new Error(`job ${job.id} could not be sealed: a shard is not provisional`);
      table.setAll('provisional', 'sealed');
      job = { ...job, state: 'done', finishedAt: at };
      services.log.info({ job: job.id, shards: table.states.length, votes }, 'job sealed');
    }

    function finish(): void {
      for (const index of Array.from(shards.keys())) settleShard(index, job.state === 'done' ? 'superseded' : 'cancelled');
      flush();
      context.stop();
    }

    return {
      leased(placed) {
        quorum.leased(placed.map((p) => p.lease));
        for (const one of placed) {
          // Leased before this life began and delivered in it: nobody has to come back with it.
          unclaimed.delete(one.lease.fence.seq);
          if (table.get(one.lease.index) === 'pending') table.set(one.lease.index, 'leased');
          shardOf(one.lease.index).leased(one);
        }
        publish();
      },
      vote(vote) {
        quorum.vote(vote);
      },
      votes(votes) {
        quorum.votes(votes);
      },
      offer(offer) {
        quorum.offer(offer);
      },
      attempt(event) {
        if (event.index < table.states.length) shardOf(event.index).attempt(event);
      },
      checkpoint(event) {
        shards.get(event.index)?.checkpoint(event);
      },
      report(reports) {
        for (const { attempt, held, device } of reports) {
          unclaimed.delete(attempt.fence.seq);
          if (held) shardOf(attempt.index).adopted({ fence: attempt.fence, device });
          else {
            const reason = 'the agent restarted and lost it';
            shardOf(attempt.index).attempt({ job: job.id, index: attempt.index, fence: attempt.fence, event: 'expired', reason });
          }
        }
      },
      counted({ index }) {
        votes += 1;
        table.set(index, afterVote(table.get(index)));
        publish();
      },
      provisional({ index, output }: { index: number; output: ObjectRef }) {
        keepOutput(index, output);
        table.set(index, 'provisional');
        settleShard(index, 'superseded');
        publish();
        step();
      },
      reopened() {
        placement.wake(job.id);
      },
      jobEnded(id) {
        if (job.state === 'queued' && needsOf(job.spec).includes(id)) begin();
      },
      async shardFailed({ index, reason }) {
        table.set(index, 'failed');
        if (await move(['running', 'paused'], 'failed', `shard ${index}: ${reason}`)) finish();
      },
      async control(action: Control) {
        const { from, to: usual } = CONTROLS[action];
        // What needs others looks at them first.
        const to = usual === 'running' && needsOf(job.spec).length > 0 ? 'queued' : usual;
        if (!(await move(from, to))) {
          throw new GridError('CONFLICT', `the job is ${job.state}: it cannot ${action} now`, {
            fix: `this is possible while it is ${from.join(' or ')}`,
          });
        }
        tellPlacement();
        if (to === 'queued') begin();
        if (to === 'running') step();
        const answer = summary();
        if (to === 'cancelled') finish();
        return answer;
      },
      snapshot() {
        return { seq, summary: summary(), states: Uint8Array.from(table.states) };
      },
    };
  },
});
