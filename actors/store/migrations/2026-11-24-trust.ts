import { Migration } from '@mikro-orm/migrations';

/** Who vouches for a device, what it has earned with each app, and which results a trusted device has checked. */
export class TrustInDevices extends Migration {
  override up(): void {
    for (const statement of STATEMENTS) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table audits, device_reputation');
    this.addSql('alter table jobs drop column app');
    this.addSql('alter table job_shards drop column core_only');
    this.addSql('alter table devices drop column principal, drop column trusted');
    this.addSql('alter table enrolment_tokens drop column principal, drop column trusted');
  }
}

const STATEMENTS = [
  `alter table enrolment_tokens add column principal text, add column trusted boolean not null default false`,
  `update enrolment_tokens set principal = 'token:' || left(hash, 16)`,
  `alter table enrolment_tokens alter column principal set not null, alter column trusted drop default`,
  `alter table devices add column principal text, add column trusted boolean not null default false`,
  `update devices set principal = 'token:' || left(enrolled_with, 16)`,
  `alter table devices alter column principal set not null, alter column trusted drop default`,
  `alter table jobs add column app text`,
  `alter table job_shards add column core_only boolean not null default false`,
  `create table device_reputation (
     app text not null,
     device text not null,
     a double precision not null,
     b double precision not null,
     results bigint not null,
     strikes int not null,
     quarantine text,
     updated_at bigint not null,
     primary key (app, device)
   ) with (fillfactor = 60)`,
  `create index device_reputation_of_device on device_reputation (device)`,
  `create table audits (
     id bigint generated always as identity primary key,
     job_id uuid not null,
     shard_id bigint not null,
     shard_index int not null,
     reason text not null constraint audits_reason_check check (reason in ('audit', 'dispute')),
     opened_at bigint not null,
     wrong json
   )`,
  `create index audits_of_job on audits (job_id, shard_index)`,
  `create index audits_open on audits (shard_id) where wrong is null`,
];
