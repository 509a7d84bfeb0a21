import { Migration } from '@mikro-orm/migrations';

/** Keys that devices had, and where the log of manifests stood when they ended. */
export class FormerKeys extends Migration {
  override up(): void {
    for (const statement of STATEMENTS) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table former_keys');
  }
}

const STATEMENTS = [
  `create table former_keys (
     id bigint generated always as identity primary key,
     device text not null,
     public_key text not null constraint former_keys_public_key unique,
     reason text not null constraint former_keys_reason_check check (reason in ('rotated', 'revoked')),
     until_position bigint not null,
     at bigint not null
   )`,
  // Devices that were shut out before this was kept: their keys ended when that happened.
  `insert into former_keys (device, public_key, reason, until_position, at)
   select d.id, d.public_key, 'revoked',
     (select count(*) from manifest_log l join manifests m on m.job_id = l.job_id where m.sealed_at <= d.state_at), d.state_at
   from devices d where d.state = 'revoked' order by d.state_at, d.id`,
];
