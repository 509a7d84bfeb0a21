import { fenceText } from '#actors/contract/primitives.ts';
import { fencesOf } from '../fences-of.ts';
import { applyChange, type AttemptUnderChange, type Scene, type ShardUnderChange } from '../shard-rules.ts';
import type { Change, Outcome, VoteRow } from '../store.ts';
import { auditsUnderChange, lockStandings } from './standings.ts';
import { holdEpochs, type Tables } from './tables.ts';
import type { Connection, Transaction } from './transaction.ts';

/** Statement for statement what `postgres/commit.ts` does: hold, lock in id order, read, apply, write back. */
export function commit(connection: Connection, tables: Tables, changes: readonly Change[]): Promise<readonly Outcome[]> {
  if (changes.length === 0) return Promise.resolve([]);
  return connection.transaction('commit', async (tx) => {
    await holdEpochs(
      tx,
      tables,
      changes.map(({ partition, epoch }) => [partition, epoch] as const),
    );
    const scene = await readScene(tx, tables, changes);
    const outcomes = changes.map((change) => applyChange(scene, change));
    await writeScene(tx, tables, scene);
    return outcomes;
  });
}

interface MemoryScene extends Scene {
  readonly touchedShards: ReadonlySet<ShardUnderChange>;
  readonly touchedAttempts: ReadonlySet<AttemptUnderChange>;
  readonly recorded: readonly VoteRow[];
  writeStandings(): void;
}

/** Copies: what the rules do to them appears with the commit. */
async function readScene(tx: Transaction, tables: Tables, changes: readonly Change[]): Promise<MemoryScene> {
  const fences = fencesOf(changes);
  await tx.statement();
  const ids = new Set<number>(changes.flatMap((change) => (change.type === 'reopen' ? [change.shardId] : [])));
  for (const fence of fences) {
    const attempt = tables.attempts.get(fenceText(fence));
    if (attempt !== undefined) ids.add(attempt.shardId);
  }
  const shards = await lockShards(
    tx,
    tables,
    [...ids].sort((a, b) => a - b),
  );

  await tx.statement();
  const attempts = new Map<string, AttemptUnderChange>();
  for (const fence of fences) {
    const attempt = tables.attempts.get(fenceText(fence));
    if (attempt !== undefined) attempts.set(fenceText(fence), { ...attempt });
  }

  await tx.statement();
  const voters = new Map<number, Set<string>>();
  for (const id of shards.keys()) {
    const attempted = (tables.attemptsOfShard.get(id) ?? []).map(({ device }) => device);
    voters.set(id, new Set(attempted.filter((device) => tables.voters.has(`${id} ${device}`))));
  }

  const standings = await lockStandings(tx, tables, changes);
  const touchedShards = new Set<ShardUnderChange>();
  const touchedAttempts = new Set<AttemptUnderChange>();
  const recorded: VoteRow[] = [];
  return {
    shard: (id) => shards.get(id),
    attempt: (fence) => attempts.get(fenceText(fence)),
    voters: (shardId) => voters.get(shardId) ?? new Set(),
    standing: (device, app, at) => standings.standing(device, app, at),
    writeStandings: () => standings.write(),
    audit: auditsUnderChange(tx, tables),
    touch: (shard, attempt) => {
      touchedShards.add(shard);
      if (attempt !== null) touchedAttempts.add(attempt);
    },
    record: (vote) => {
      recorded.push(vote);
      if (vote.refusal === null) voters.get(vote.shardId)?.add(vote.device);
    },
    touchedShards,
    touchedAttempts,
    recorded,
  };
}

async function lockShards(tx: Transaction, tables: Tables, ids: readonly number[]): Promise<ReadonlyMap<number, ShardUnderChange>> {
  const copies = new Map<number, ShardUnderChange>();
  for (const id of ids) {
    await tx.lock('shard', [id], 'no key update');
    const shard = tables.shards.get(id);
    if (shard !== undefined) copies.set(id, { ...shard });
  }
  return copies;
}

async function writeScene(tx: Transaction, tables: Tables, scene: MemoryScene): Promise<void> {
  const { touchedShards, touchedAttempts, recorded } = scene;
  scene.writeStandings();
  if (touchedShards.size > 0) {
    await tx.statement();
    for (const { id, state, wanted, failures, output, coreOnly, retryAt } of touchedShards) {
      await tx.lock('shard', [id], 'no key update');
      const row = tables.shards.get(id);
      if (row !== undefined) tx.set(row, { state, wanted, failures, output, coreOnly, retryAt });
    }
  }
  if (touchedAttempts.size > 0) {
    await tx.statement();
    for (const { fence, state, endedAt, reason } of touchedAttempts) {
      await tx.lock('attempt', [fenceText(fence)], 'no key update');
      const row = tables.attempts.get(fenceText(fence));
      if (row !== undefined) tx.set(row, { state, endedAt, reason });
    }
  }
  const counted = recorded.filter((vote) => vote.refusal === null);
  const refused = recorded.filter((vote) => vote.refusal !== null);
  if (counted.length > 0) {
    await tx.statement();
    for (const vote of counted) await insertVote(tx, tables, vote);
  }
  if (refused.length > 0) {
    await tx.statement();
    const named = new Map(refused.map((vote) => [`${fenceText(vote.fence)} ${vote.signature} ${vote.at}`, vote]));
    for (const [name, vote] of named) await insertRefusal(tx, tables, name, vote);
  }
}

/** The unique index: a counting vote that meets another one of its voter is a defect, and ends the transaction. */
async function insertVote(tx: Transaction, tables: Tables, vote: VoteRow): Promise<void> {
  const voter = `${vote.shardId} ${vote.device}`;
  await tx.lock('voter', [voter], 'update');
  if (tables.voters.has(voter)) throw new Error(`duplicate key: ${vote.device} has a counting vote on shard ${vote.shardId}.`);
  tx.put(tables.voters, voter, vote);
  keep(tx, tables, vote);
}

/** `on conflict do nothing` */
async function insertRefusal(tx: Transaction, tables: Tables, name: string, vote: VoteRow): Promise<void> {
  await tx.lock('refusal', [name], 'update');
  if (tables.refusals.has(name)) return;
  tx.put(tables.refusals, name, vote);
  keep(tx, tables, vote);
}

function keep(tx: Transaction, tables: Tables, vote: VoteRow): void {
  const votes = tables.jobs.get(vote.job)?.votes;
  if (votes !== undefined) tx.append(votes, { ...vote, bytes: vote.bytes && new Uint8Array(vote.bytes) });
}
