import { sql } from 'kysely';

import type { AttemptUnderChange, ShardUnderChange } from '../shard-rules.ts';
import type { VoteRow } from '../store.ts';
import type { PostgresScene } from './read-scene.ts';
import { writeAudits, writeStandings } from './standings.ts';
import type { Tx } from './transaction.ts';

/** Writes back what a batch of changes touched: one statement for each table. */
export async function writeScene(tx: Tx, scene: PostgresScene): Promise<void> {
  await writeShards(tx, [...scene.touchedShards]);
  await writeAttempts(tx, [...scene.touchedAttempts]);
  await writeStandings(tx, [...scene.taught]);
  await writeAudits(tx, scene.audits);
  const counted = scene.recorded.filter((vote) => vote.refusal === null);
  const refused = scene.recorded.filter((vote) => vote.refusal !== null);
  if (counted.length > 0) await insertVotes(tx, counted);
  if (refused.length > 0) await sql`${insertStatement(refused)} on conflict do nothing`.execute(tx);
}

async function writeShards(tx: Tx, shards: readonly ShardUnderChange[]): Promise<void> {
  if (shards.length === 0) return;
  await sql`
    update job_shards s
    set state = c.state, wanted = c.wanted, failures = c.failures, output_sha256 = c.sha256, output_size = c.size,
      core_only = c.core_only, retry_at = c.retry_at
    from unnest(
      ${shards.map((s) => s.id)}::bigint[],
      ${shards.map((s) => s.state)}::text[],
      ${shards.map((s) => s.wanted)}::int[],
      ${shards.map((s) => s.failures)}::int[],
      ${shards.map((s) => s.output?.sha256 ?? null)}::text[],
      ${shards.map((s) => s.output?.size ?? null)}::bigint[],
      ${shards.map((s) => s.coreOnly)}::boolean[],
      ${shards.map((s) => s.retryAt ?? null)}::bigint[]
    ) c (id, state, wanted, failures, sha256, size, core_only, retry_at)
    where s.id = c.id
  `.execute(tx);
}

async function writeAttempts(tx: Tx, attempts: readonly AttemptUnderChange[]): Promise<void> {
  if (attempts.length === 0) return;
  await sql`
    update shard_attempts a set state = c.state, ended_at = c.ended_at, reason = c.reason
    from unnest(
      ${attempts.map((a) => a.fence.epoch)}::bigint[],
      ${attempts.map((a) => a.fence.seq)}::bigint[],
      ${attempts.map((a) => a.state)}::text[],
      ${attempts.map((a) => a.endedAt)}::bigint[],
      ${attempts.map((a) => a.reason)}::text[]
    ) c (epoch, seq, state, ended_at, reason)
    where a.epoch = c.epoch and a.seq = c.seq
  `.execute(tx);
}

/** A counting vote that meets another one of its fence or voter is a defect: the unique index ends the transaction. */
async function insertVotes(tx: Tx, votes: readonly VoteRow[]): Promise<void> {
  await insertStatement(votes).execute(tx);
}

function insertStatement(votes: readonly VoteRow[]) {
  return sql`
    insert into shard_results (epoch, seq, job_id, shard_id, shard_index, device, sha256, size, bytes, signature, batch, refusal, at)
    select * from unnest(
      ${votes.map((v) => v.fence.epoch)}::bigint[],
      ${votes.map((v) => v.fence.seq)}::bigint[],
      ${votes.map((v) => v.job)}::uuid[],
      ${votes.map((v) => v.shardId)}::bigint[],
      ${votes.map((v) => v.index)}::bigint[],
      ${votes.map((v) => v.device)}::text[],
      ${votes.map((v) => v.output.sha256)}::text[],
      ${votes.map((v) => v.output.size)}::bigint[],
      ${votes.map((v) => v.bytes && Buffer.from(v.bytes))}::bytea[],
      ${votes.map((v) => v.signature)}::text[],
      ${votes.map((v) => (v.batch === undefined ? null : JSON.stringify(v.batch)))}::json[],
      ${votes.map((v) => v.refusal)}::text[],
      ${votes.map((v) => v.at)}::bigint[]
    )
  `;
}
