import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import type { JobRef } from './job.protocol.ts';
import { JobsProtocol, type JobsRef } from './jobs.protocol.ts';

export interface JobsRouterArgs {
  readonly cluster: GridCluster;
  /** Those of this coordinator. */
  readonly local: JobsRef;
}

const FIND_MS = 8_000;

/** Stands where JobsActor stands for the rest of this coordinator, and brings each message to the coordinator that owns the job. */
export const jobsRouterActor = defineActor({
  protocol: JobsProtocol,
  mailbox: { capacity: 65_536 },
  start(_context, { cluster, local }: JobsRouterArgs) {
    function perJob<T>(list: readonly T[], jobOf: (one: T) => string, name: string): void {
      const byJob = new Map<string, T[]>();
      for (const one of list) {
        const own = byJob.get(jobOf(one)) ?? [];
        own.push(one);
        byJob.set(jobOf(one), own);
      }
      for (const [job, own] of byJob) cluster.tellJob(job, name, own);
    }

    function notRouted(): never {
      throw new GridError('INTERNAL', 'partitions are given to JobsActor itself');
    }

    return {
      created: (id) => cluster.tellJob(id, 'created', id),
      leased: (placed) => perJob(placed, ({ lease }) => lease.job, 'leased'),
      vote: (vote) => cluster.tellJob(vote.message.job, 'vote', vote),
      votes: (votes) => cluster.tellJob(votes.message.job, 'votes', votes),
      offer: (offer) => cluster.tellJob(offer.job, 'offer', offer),
      attempt: (event) => cluster.tellJob(event.job, 'attempt', event),
      checkpoint: (event) => cluster.tellJob(event.job, 'checkpoint', event),
      report: (reports) => perJob(reports, ({ attempt }) => attempt.job, 'report'),
      reload: () => void local.reload(),
      gained: notRouted,
      released: notRouted,
      async find(id) {
        // The owner answers with the address of the job's actor, which is a proxy here when it lives elsewhere.
        return (await cluster.askJob(id, 'find', id, FIND_MS)) as JobRef | null;
      },
    };
  },
});
