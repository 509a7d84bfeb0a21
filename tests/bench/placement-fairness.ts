import { jainIndex } from '#actors/placement/fair-share.ts';
import type { OpenJob } from '#actors/placement/job-order.ts';
import { PlacementBook } from '#actors/placement/placement.state.ts';
import type { Candidate, Draw, Lease } from '#actors/store/store.ts';

import { fleetOf, jobOf } from './placement-replay.ts';

/** A job whose shards are only counted: what a store would keep of it. */
interface Backlog {
  readonly job: OpenJob;
  left: number;
}

interface Running {
  readonly lease: Lease;
  readonly tenant: string;
  readonly endsAt: number;
}

export interface Fairness {
  /** Jain's index of the slot seconds that each tenant got. */
  readonly jain: number;
  /** Times that an attempt was placed while a more urgent job of its tenant had a shard that could have run there. */
  readonly inversions: number;
  readonly placed: number;
}

const TICK_MS = 100;

/**
 * Two tenants, one with a thousand times the other's shards in jobs of several priorities, on a small fleet in virtual time.
 * Every placement goes through the grid's own book, round by round, as its actor drives it.
 */
export function simulateFairness({ seconds, random }: { seconds: number; random: () => number }): Fairness {
  const book = new PlacementBook();
  for (const node of fleetOf(Array.from({ length: 10 }, () => ({ cores: 4, memoryMiB: 65_536, gpus: 0 })))) {
    book.addNode({ ...node, slots: 4 });
  }
  const backlogs = new Map<string, Backlog>();
  const submit = (tenant: string, n: number, shards: number, priority: number): void => {
    const job = jobOf({ cores: 1, memoryMiB: 256, gpus: 0, milli: 0 }, n, { job: `${tenant}-${n}`, tenant, priority });
    backlogs.set(job.job, { job, left: shards });
    book.openJob(job);
  };
  for (let n = 0; n < 10; n++) submit('loud', n, 120_000, n % 4);
  submit('quiet', 100, 900, 0);
  submit('quiet', 101, 300, 5);

  const slotSeconds: Record<string, number> = { loud: 0, quiet: 0 };
  let running: Running[] = [];
  let inversions = 0;
  let placed = 0;
  let ids = 0;
  for (let now = 0; now < seconds * 1_000; now += TICK_MS) {
    // Late work of a higher priority must still go first.
    if (now === 10_000) submit('loud', 50, 500, 9);
    for (const one of running) if (one.endsAt <= now) book.release(one.lease.fence);
    running = running.filter((one) => one.endsAt > now);
    for (let draws = book.draws(500, now); draws.length > 0; draws = book.draws(500, now)) {
      const candidates = candidatesOf(draws, backlogs, () => (ids += 1));
      const leases = book.place(candidates, { at: now, random }).map(({ shardId, device }): Lease => {
        const job = candidates.find((c) => c.shardId === shardId)?.job ?? '';
        return { fence: { epoch: 1, seq: shardId }, job, partition: 0, shardId, index: 0, device };
      });
      for (const lease of leases) {
        const backlog = backlogs.get(lease.job);
        if (backlog === undefined) throw new Error('a lease of no job');
        backlog.left -= 1;
        inversions += [...backlogs.values()].some(
          ({ job, left }) => job.tenant === backlog.job.tenant && job.priority > backlog.job.priority && left > 0,
        )
          ? 1
          : 0;
        placed += 1;
        running.push({ lease, tenant: backlog.job.tenant, endsAt: now + 500 + Math.floor(random() * 2_000) });
      }
      book.settle(leases, draws, candidates);
    }
    for (const { tenant } of running) slotSeconds[tenant] = (slotSeconds[tenant] ?? 0) + TICK_MS / 1_000;
  }
  return { jain: jainIndex(Object.values(slotSeconds)), inversions, placed };
}

/** What a store would lock for these draws. */
function candidatesOf(draws: readonly Draw[], backlogs: ReadonlyMap<string, Backlog>, nextId: () => number): Candidate[] {
  const found: Candidate[] = [];
  for (const { jobs, limit } of draws) {
    let room = limit;
    for (const id of jobs) {
      const backlog = backlogs.get(id);
      if (backlog === undefined) continue;
      for (let n = 0; n < backlog.left && room > 0; n++, room--) {
        const { priority } = backlog.job;
        found.push({ shardId: nextId(), job: id, partition: 0, index: n, wanted: 1, priority, barred: [] });
      }
    }
  }
  return found;
}
