import { Migration } from '@mikro-orm/migrations';

/**
 * The first schema. What entities cannot say stands here: the sequence of fences, the 256 partitions, and fillfactors
 * that leave room in the page for rows that are rewritten (devices by beats, shards and attempts by their states).
 */
export class FirstLight extends Migration {
  override up(): void {
    for (const statement of [...CLUSTER, ...ACCESS, ...JOBS, ...SERVING]) this.addSql(statement);
  }

  override down(): void {
    this.addSql(`
      drop table coordinators, partitions, cluster_secrets, events, tenants, api_keys, enrolment_tokens, devices, objects,
        jobs, job_shards, shard_attempts, shard_results, manifests, models, usage`);
    this.addSql('drop sequence attempt_fence');
  }
}

const CLUSTER = [
  `create table coordinators (id text primary key, took_partitions_at bigint not null)`,
  `create table partitions (
     id smallint primary key constraint partitions_id_check check (id >= 0 and id <= 255),
     epoch bigint not null default 0,
     coordinator text
   ) with (fillfactor = 60)`,
  `insert into partitions (id) select generate_series(0, 255)`,
  `create table cluster_secrets (name text primary key, seed bytea not null)`,
  `create table events (
     id bigint generated always as identity primary key,
     at bigint not null,
     subject text not null,
     kind text not null,
     text text not null
   )`,
  `create index events_subject on events (subject, id)`,
];

const ACCESS = [
  `create table tenants (name text primary key, created_at bigint not null)`,
  `create table api_keys (
     id text primary key,
     hash text not null constraint api_keys_hash unique,
     tenant text not null,
     name text not null,
     role text not null constraint api_keys_role_check check (role in ('admin', 'submitter')),
     created_at bigint not null,
     revoked_at bigint
   )`,
  `create table enrolment_tokens (
     hash text primary key,
     name text not null,
     uses_left int not null constraint enrolment_tokens_uses_left_check check (uses_left >= 0),
     created_at bigint not null,
     expires_at bigint not null
   )`,
  `create table devices (
     id text primary key,
     name text not null,
     public_key text not null constraint devices_public_key unique,
     state text not null constraint devices_state_check check (state in ('enrolled', 'present', 'draining', 'absent', 'revoked')),
     state_at bigint not null,
     session_epoch bigint not null default 0,
     capabilities json,
     last_seen_at bigint,
     enrolled_at bigint not null,
     enrolled_with text not null
   ) with (fillfactor = 60)`,
];

const JOBS = [
  `create table objects (sha256 text primary key, size bigint not null, recorded_at bigint not null)`,
  `create table jobs (
     id uuid primary key,
     partition smallint not null,
     tenant text not null,
     submitted_by text not null,
     spec json not null,
     priority smallint not null,
     state text not null constraint jobs_state_check
       check (state in ('queued', 'running', 'paused', 'sealing', 'done', 'failed', 'cancelled')),
     reason text,
     epoch bigint not null,
     submitted_at bigint not null,
     finished_at bigint
   ) with (fillfactor = 80)`,
  `create index jobs_open on jobs (partition) where state in ('queued', 'running', 'paused', 'sealing')`,
  `create index jobs_recent on jobs (submitted_at)`,
  `create index jobs_of_tenant on jobs (tenant, submitted_at)`,
  `create table job_shards (
     id bigint generated always as identity primary key,
     job_id uuid not null,
     shard_index int not null,
     state text not null constraint job_shards_state_check
       check (state in ('pending', 'leased', 'voting', 'provisional', 'sealed', 'failed', 'blocked')),
     wanted smallint not null constraint job_shards_wanted_check check (wanted >= 0),
     failures int not null,
     output_sha256 text,
     output_size bigint,
     constraint job_shards_of_job unique (job_id, shard_index),
     constraint job_shards_output_check check ((output_sha256 is null) = (output_size is null))
   ) with (fillfactor = 70)`,
  `create index job_shards_claim on job_shards (job_id, id) where wanted > 0 and state in ('pending', 'leased', 'voting')`,
  `create sequence attempt_fence`,
  `create table shard_attempts (
     epoch bigint not null,
     seq bigint not null,
     job_id uuid not null,
     shard_id bigint not null,
     shard_index int not null,
     device text not null,
     state text not null constraint shard_attempts_state_check
       check (state in ('leased', 'suspect', 'expired', 'voted', 'refused', 'failed', 'released')),
     leased_at bigint not null,
     ended_at bigint,
     reason text,
     primary key (epoch, seq)
   ) with (fillfactor = 80)`,
  `create index shard_attempts_of_shard on shard_attempts (shard_id)`,
  `create index shard_attempts_of_device on shard_attempts (device) where state in ('leased', 'suspect', 'expired')`,
  `create unique index shard_attempts_live on shard_attempts (shard_id, device) where state in ('leased', 'suspect')`,
  `create table shard_results (
     id bigint generated always as identity primary key,
     epoch bigint not null,
     seq bigint not null,
     job_id uuid not null,
     shard_id bigint not null,
     shard_index bigint not null,
     device text not null,
     sha256 text not null,
     size bigint not null,
     bytes bytea,
     signature text not null,
     refusal text,
     at bigint not null
   )`,
  `create index shard_results_of_job on shard_results (job_id, shard_index)`,
  `create unique index shard_results_fence on shard_results (epoch, seq) where refusal is null`,
  `create unique index shard_results_voter on shard_results (shard_id, device) where refusal is null`,
  `create unique index shard_results_refused on shard_results (epoch, seq, signature, at) where refusal is not null`,
  `create table manifests (job_id uuid primary key, body text not null, signature text not null, sealed_at bigint not null)`,
];

const SERVING = [
  `create table models (name text, sha256 text, size bigint not null, context_size int not null, primary key (name, sha256))`,
  `create table usage (
     id text primary key,
     tenant text not null,
     api_key text not null,
     model text not null,
     device text,
     prompt_tokens int not null,
     completion_tokens int not null,
     outcome text not null,
     at bigint not null
   )`,
  `create index usage_of_tenant on usage (tenant, at)`,
];
