import { sql } from 'kysely';

import { partitionOf } from '../partition.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { logLeaf } from '#actors/contract/log-leaf.ts';
import type { ManifestRow } from '../store.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId } from './rows.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

/** Answers true again for the very manifest that sealed the job: after a commit of unknown outcome it is simply repeated. */
export async function seal(db: Database, manifest: ManifestRow, epoch: number): Promise<boolean> {
  const { job } = manifest;
  if (!isJobId(job)) return false;
  return inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partitionOf(job), epoch]]);
    if (!(await lockAllProvisional(tx, job))) return sameManifest(tx, manifest);
    const { rows } = await sql`
      update jobs set state = 'done', finished_at = ${manifest.sealedAt}
      where id = ${job} and state not in ('done', 'failed', 'cancelled')
      returning id
    `.execute(tx);
    if (rows.length === 0) return false;
    await sql`update job_shards set state = 'sealed' where job_id = ${job}`.execute(tx);
    await sql`
      insert into manifests (job_id, body, signature, sealed_at)
      values (${job}, ${manifest.body}, ${manifest.signature}, ${manifest.sealedAt})
    `.execute(tx);
    await appendToLog(tx, manifest);
    return true;
  });
}

/** Positions follow each other without a gap: seals wait for each other here, for as long as it takes to commit. */
async function appendToLog(tx: Tx, manifest: ManifestRow): Promise<void> {
  await sql`lock table manifest_log in share row exclusive mode`.execute(tx);
  await sql`
    insert into manifest_log (position, job_id, leaf)
    select coalesce(max(position) + 1, 0), ${manifest.job}::uuid, ${Buffer.from(logLeaf(manifest, sha256))} from manifest_log
  `.execute(tx);
}

async function lockAllProvisional(tx: Tx, job: string): Promise<boolean> {
  const { rows } = await sql<{ ready: boolean | null }>`
    select bool_and(state = 'provisional') as ready
    from (select state from job_shards where job_id = ${job} order by id for no key update) locked
  `.execute(tx);
  return rows[0]?.ready === true;
}

async function sameManifest(tx: Tx, { job, body, signature }: ManifestRow): Promise<boolean> {
  const { rows } = await sql`select 1 from manifests where job_id = ${job} and body = ${body} and signature = ${signature}`.execute(tx);
  return rows.length === 1;
}
