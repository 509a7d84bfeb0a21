import { fenceText } from '#actors/contract/primitives.ts';
import type { RunCommand, VoteMessage } from '#actors/contract/agent-link.ts';
import { OPEN_SHARD_STATES } from '#actors/store/shard-rules.ts';
import type { MemoryDatabase } from '#actors/store/memory/memory-store.ts';
import type { MemoryJob } from '#actors/store/memory/tables.ts';
import type { UnderWay } from '#actors/store/memory/transaction.ts';
import type { System } from '#runtime/kernel/system.ts';

import type { Violations } from './world.ts';

/** What only the play knows. */
interface Truth {
  /** One of the machines lies. */
  readonly lies: boolean;
  /** The right output of each shard. */
  readonly right: (job: string, index: number) => string;
}

/**
 * What must hold at every moment of a grid, looked at from outside: at every commit in the database, at every command that an
 * agent obeys, at every vote that an agent forgets, at every end of a process. What it compares with it has seen itself; it
 * asks none of the code that it watches.
 */
export class GridPromises {
  readonly #violations: Violations;
  readonly #database: MemoryDatabase;
  /** The epoch that counts, by partition. */
  readonly #epochs = new Map<number, number>();
  /** The highest epoch ever given, also by a database that has forgotten it. */
  readonly #given = new Map<number, number>();
  /** The highest epoch that an agent has obeyed, by `agent partition`. */
  readonly #obeyed = new Map<string, number>();
  /** Outputs that were accepted, by shard id. */
  readonly #accepted = new Map<number, string>();
  /** Votes that their agents have forgotten because the grid keeps them. */
  readonly #acknowledged = new Map<string, VoteMessage>();
  readonly #lies: boolean;
  readonly #right: Truth['right'];

  constructor(violations: Violations, database: MemoryDatabase, { lies, right }: Truth) {
    this.#lies = lies;
    this.#violations = violations;
    this.#database = database;
    this.#right = right;
  }

  /** In the instant of a commit. */
  committed(owner: string, { verb, epochs }: UnderWay): void {
    const { tables } = this.#database;
    if (verb === 'takeOver') {
      for (const [partition, { id }] of tables.owners) {
        const epoch = tables.epochs.get(partition) ?? 0;
        if (id === owner && this.#epochs.get(partition) !== epoch) this.#taken(owner, partition, epoch);
      }
      return;
    }
    for (const [partition, epoch] of epochs) {
      const current = this.#epochs.get(partition);
      if (current === undefined || epoch === current) continue;
      this.#violations.add(`${verb} of ${owner} was accepted with epoch ${epoch} of partition ${partition}, which is at ${current}`);
    }
    if (epochs.size > 0) for (const job of tables.jobs.values()) this.#checkJob(job);
  }

  #taken(owner: string, partition: number, epoch: number): void {
    const highest = this.#given.get(partition) ?? -1;
    if (epoch <= highest) this.#violations.add(`epoch ${epoch} of partition ${partition} was given to ${owner} after ${highest}`);
    this.#epochs.set(partition, epoch);
    this.#given.set(partition, epoch);
  }

  #checkJob({ row, shards }: MemoryJob): void {
    const { tables } = this.#database;
    for (const shard of shards) {
      const output = shard.output?.sha256;
      const before = this.#accepted.get(shard.id);
      const accepted = shard.state === 'provisional' || shard.state === 'sealed';
      if (accepted && output === undefined) this.#violations.add(`shard ${shard.index} is ${shard.state} without an output`);
      if (before !== undefined && output !== before)
        this.#violations.add(`shard ${shard.index} had the output ${before.slice(0, 8)} and has ${output?.slice(0, 8) ?? 'none'}`);
      if (output !== undefined) {
        if (before === undefined && output !== this.#right(row.id, shard.index))
          this.#violations.add(`shard ${shard.index} of ${row.id} has a wrong output`);
        this.#accepted.set(shard.id, output);
      }

      let leased = 0;
      let votes = 0;
      let agreeing = 0;
      const live = new Set<string>();
      for (const attempt of tables.attemptsOfShard.get(shard.id) ?? []) {
        if (attempt.state === 'leased') leased += 1;
        if (attempt.state === 'leased' || attempt.state === 'suspect') {
          if (live.has(attempt.device)) this.#violations.add(`shard ${shard.index} has two live attempts on ${attempt.device}`);
          live.add(attempt.device);
        }
        const vote = tables.voters.get(`${shard.id} ${attempt.device}`);
        if (vote === undefined || fenceText(vote.fence) !== fenceText(attempt.fence)) continue;
        votes += 1;
        if (vote.output.sha256 === output) agreeing += 1;
      }
      if (accepted && agreeing < row.spec.quorum)
        this.#violations.add(`shard ${shard.index} was accepted with ${agreeing} votes that agree; the job asks for ${row.spec.quorum}`);
      if (shard.wanted < 0) this.#violations.add(`shard ${shard.index} was leased more often than it was wanted: ${shard.wanted}`);
      // Each attempt that ends makes one wanted; a vote makes one more only where somebody lies.
      if (OPEN_SHARD_STATES.includes(shard.state) && shard.wanted + leased > row.spec.quorum + (this.#lies ? votes : 0))
        this.#violations.add(`shard ${shard.index} is wanted too often: wants ${shard.wanted}, has ${leased} leases and ${votes} votes`);
      const running = row.state !== 'cancelled' && row.state !== 'failed';
      if (running && OPEN_SHARD_STATES.includes(shard.state) && shard.wanted + leased + votes < row.spec.quorum)
        this.#violations.add(
          `shard ${shard.index} is stuck: wants ${shard.wanted}, has ${leased} leases and ${votes} votes, needs ${row.spec.quorum}`,
        );
    }
  }

  /** Nobody relies on a lease that the database has let run out. */
  leased(coordinator: string, now: number): void {
    const node = this.#database.tables.nodes.get(coordinator);
    if (node !== undefined && node.leaseUntil < now)
      this.#violations.add(`${coordinator} relies on a lease that ran out ${(now - node.leaseUntil).toFixed(0)} ms ago`);
  }

  obeyed(agent: string, { partition, fence }: RunCommand): void {
    const key = `${agent} ${partition}`;
    const highest = this.#obeyed.get(key) ?? -1;
    if (fence.epoch < highest) this.#violations.add(`${agent} obeyed epoch ${fence.epoch} of partition ${partition} after ${highest}`);
    this.#obeyed.set(key, Math.max(highest, fence.epoch));
  }

  /** An agent forgets a vote because it counts: whoever forgot it relies on the grid. */
  acknowledged(agent: string, vote: VoteMessage): void {
    this.#acknowledged.set(`${agent} ${fenceText(vote.fence)}`, vote);
  }

  /** The server forgot its last commits: what was built on them is open again. */
  failedOver(): void {
    const { tables } = this.#database;
    for (const [partition, epoch] of tables.epochs) this.#epochs.set(partition, epoch);
    for (const [id] of this.#accepted) {
      const output = tables.shards.get(id)?.output;
      if (output === null || output === undefined) this.#accepted.delete(id);
    }
    for (const [key, vote] of this.#acknowledged) if (!this.#isKept(key, vote)) this.#acknowledged.delete(key);
  }

  /** Nothing is silently lost inside a process. */
  balanced(system: System): void {
    const { sent, handled, deadLettered, queued } = system.accounting();
    if (sent !== handled + deadLettered + queued)
      this.#violations.add(`${system.name}: sent ${sent}, handled ${handled}, dead letters ${deadLettered}, queued ${queued}`);
  }

  /** Whoever locks several rows locks them in the order of their ids. */
  deadlocked(): void {
    if (this.#database.deadlocks > 0) this.#violations.add(`${this.#database.deadlocks} times two transactions waited for each other`);
  }

  /** At the end: every vote that was acknowledged is on record. */
  end(): void {
    for (const [key, vote] of this.#acknowledged)
      if (!this.#isKept(key, vote)) this.#violations.add(`the vote ${key} on shard ${vote.shard} was acknowledged and is gone`);
  }

  #isKept(key: string, vote: VoteMessage): boolean {
    const [device] = key.split(' ');
    const votes = this.#database.tables.jobs.get(vote.job)?.votes ?? [];
    return votes.some((one) => one.refusal === null && one.device === device && one.signature === vote.signature);
  }
}
