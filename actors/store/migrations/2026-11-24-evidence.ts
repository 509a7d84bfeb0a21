import { Migration } from '@mikro-orm/migrations';

/** What decided about each result of a sealed job, and the append-only log of all manifests. */
export class Evidence extends Migration {
  override up(): void {
    for (const statement of STATEMENTS) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table manifest_log');
    this.addSql('alter table job_shards drop column belief, drop column decided_by');
  }
}

const STATEMENTS = [
  `alter table job_shards add column belief double precision, add column decided_by text
     constraint job_shards_decided_by_check check (decided_by in ('quorum', 'belief', 'core'))`,
  `create table manifest_log (
     position bigint primary key,
     job_id uuid not null constraint manifest_log_job unique,
     leaf bytea not null
   )`,
  // Jobs that were sealed before there was a log, in the order of their seals; the leaf is that of log-leaf.ts.
  `insert into manifest_log (position, job_id, leaf)
   select row_number() over (order by sealed_at, job_id) - 1, job_id,
     sha256('\\x00'::bytea || convert_to('corpgrid.log.v1', 'UTF8') || '\\x00'::bytea || convert_to(body, 'UTF8') || '\\x00'::bytea
       || convert_to(signature, 'UTF8'))
   from manifests`,
];
