import { RefusalQuota } from '#actors/refusal-quota.ts';
import { isStaleEpoch } from '#actors/store/stale-epoch.ts';
import type { VoteRow } from '#actors/store/store.ts';
import { isRetryable } from '#runtime/database/connection-errors.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

import type { JobArgs } from './job.actor.ts';
import type { JobProtocol, JobRef } from './job.protocol.ts';
import type { createTrustBook } from '#actors/quorum/trust-book.ts';
import { partitionOf } from '#actors/store/partition.ts';
import { JobsProtocol, type IncomingVote, type IncomingVotes } from './jobs.protocol.ts';

export interface JobsArgs extends Omit<JobArgs, 'job' | 'epoch' | 'book' | 'auditSecret'> {
  readonly makeBook: typeof createTrustBook;
  readonly job: ActorDefinition<typeof JobProtocol, JobArgs>;
  /** Epochs of the partitions that are this coordinator's own; without it all of the services'. */
  readonly owned?: ReadonlyMap<number, number> | undefined;
}

export const jobsActor = defineActor({
  protocol: JobsProtocol,
  supervise: { strategy: 'one-for-one', intensity: 20, periodMs: 60_000, backoff: { minMs: 100, maxMs: 5_000, jitter: 0.2 } },
  mailbox: { capacity: 65_536 },
  async start(context, args: JobsArgs) {
    const { services } = args;
    const live = new Map<string, JobRef>();
    const refusals = new RefusalQuota();
    const book = args.makeBook(services.store, context.clock);
    const auditSecret = await services.patiently(() => services.store.clusterSecret());
    /** Grows and shrinks as partitions move. */
    const owned = new Map(args.owned ?? services.epochs);
    /** Their jobs go on elsewhere: nobody shall hear that they ended. */
    const moving = new Set<string>();
    await wakeAll([...owned.keys()]);

    async function wakeAll(partitions: readonly number[]): Promise<void> {
      for (const { id } of await services.patiently(() => services.store.openJobs(partitions))) wake(id);
    }

    function epochOf(partition: number): number {
      const epoch = owned.get(partition);
      if (epoch === undefined) throw new GridError('UNREACHABLE', `partition ${partition} belongs to another coordinator`);
      return epoch;
    }

    function wake(id: string): JobRef {
      const known = live.get(id);
      if (known !== undefined) return known;
      const ref = context.spawn({
        id,
        actor: args.job,
        restart: 'transient',
        mailbox: { capacity: 65_536 },
        args: { ...args, job: id, epoch: epochOf(partitionOf(id)), book, auditSecret },
      });
      live.set(id, ref);
      context.watch(ref, () => {
        if (moving.delete(id)) return;
        if (live.get(id) === ref) {
          live.delete(id);
          // Otherwise a new life of the job has opened it already.
          args.placement.closed(id);
        }
        args.devices().jobEnded(id);
        for (const other of live.values()) other.jobEnded(id);
      });
      return ref;
    }

    /** A vote for a job that is not open: kept on record as refused, whoever sent it is told. */
    function refuseLate(vote: IncomingVote): void {
      context.pipe(lateRefusal(vote), (result) => {
        if (result.ok || isStaleEpoch(result.error)) return;
        // It stays in the agent's journal, which offers it again in its next session.
        if (isRetryable(result.error)) services.log.warn({ error: result.error, job: vote.message.job }, 'a late vote not refused yet');
        else throw result.error;
      });
    }

    /** The very vote counted, and only its answer was lost. */
    async function isOnRecord({ message, device }: IncomingVote): Promise<boolean> {
      const votes = await services.patiently(() => services.store.votesOf(message.job, message.shard));
      return votes.some((v) => v.refusal === null && v.device === device && v.signature === message.signature);
    }

    async function lateRefusal(vote: IncomingVote): Promise<void> {
      const { message } = vote;
      const job = await services.patiently(() => services.store.findJob(message.job));
      if (vote.again && (await isOnRecord(vote))) return void vote.from.voteSettled({ fence: message.fence, outcome: 'accepted' });
      const reason = job === null ? 'no such job' : `the shard was sealed: the job is ${job.state}`;
      if (job !== null && refusals.take(vote.device)) {
        const row: VoteRow = {
          fence: message.fence,
          job: job.id,
          shardId: 0,
          index: message.shard,
          device: vote.device,
          output: message.output,
          bytes: null,
          signature: message.signature,
          refusal: reason,
          at: context.clock.wall(),
        };
        await services.ledger.submit({ type: 'refuse', partition: job.partition, epoch: epochOf(job.partition), vote: row });
      }
      vote.from.voteSettled({ fence: message.fence, outcome: 'refused', reason });
    }

    /** The job is not open: nobody will ask where they stand in their batch. */
    function singly({ message, ...rest }: IncomingVotes): IncomingVote[] {
      const { job, signature } = message;
      return message.votes.map((vote) => ({ ...rest, message: { type: 'vote', job, signature, ...vote } }));
    }

    return {
      created(id) {
        wake(id);
      },
      leased(placed) {
        const byJob = new Map<string, typeof placed>();
        for (const one of placed) {
          const list = byJob.get(one.lease.job) ?? [];
          list.push(one);
          byJob.set(one.lease.job, list);
        }
        for (const [job, leases] of byJob) wake(job).leased(leases);
      },
      vote(vote) {
        const job = live.get(vote.message.job);
        if (job?.vote(vote) !== 'accepted') refuseLate(vote);
      },
      votes(votes) {
        const job = live.get(votes.message.job);
        if (job?.votes(votes) !== 'accepted') for (const vote of singly(votes)) refuseLate(vote);
      },
      offer(offer) {
        const job = live.get(offer.job);
        if (job?.offer(offer) !== 'accepted') {
          offer.from.voteSettled({ fence: offer.fence, outcome: 'refused', reason: 'the job takes no more results' });
        }
      },
      attempt(event) {
        live.get(event.job)?.attempt(event);
      },
      checkpoint(event) {
        live.get(event.job)?.checkpoint(event);
      },
      report(reports) {
        const byJob = new Map<string, typeof reports>();
        for (const one of reports) {
          const list = byJob.get(one.attempt.job) ?? [];
          list.push(one);
          byJob.set(one.attempt.job, list);
        }
        for (const [job, list] of byJob) live.get(job)?.report(list);
      },
      async reload() {
        for (const id of Array.from(live.keys())) {
          await context.stopChild(id);
          live.delete(id);
          wake(id);
        }
        // A fail-over may have taken back the end of a job: it is open again, and nobody lives for it.
        const open = services.patiently(() => services.store.openJobs([...owned.keys()]));
        context.pipe(open, (result) => {
          if (!result.ok) throw result.error;
          for (const { id, partition } of result.value) if (owned.has(partition)) wake(id);
        });
      },
      async gained(epochs) {
        for (const [partition, epoch] of epochs) owned.set(partition, epoch);
        await wakeAll([...epochs.keys()]);
      },
      async released(partitions) {
        const gone = new Set(partitions);
        for (const partition of gone) owned.delete(partition);
        const stops = [...live.keys()]
          .filter((id) => gone.has(partitionOf(id)))
          .map(async (id) => {
            moving.add(id);
            live.delete(id);
            await context.stopChild(id);
          });
        await Promise.all(stops);
        await services.ledger.answered();
      },
      find(id) {
        return live.get(id) ?? null;
      },
    };
  },
});
