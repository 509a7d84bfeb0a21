import { Migration } from '@mikro-orm/migrations';

/** What the OpenAI door remembers: limits of keys, when a model was first seen, files, batches and the answers of their lines. */
export class Serving extends Migration {
  override up(): void {
    for (const statement of STATEMENTS) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table api_key_limits, api_files, batches, batch_results');
    this.addSql('drop index usage_of_key');
    this.addSql('alter table models drop column first_seen_at');
  }
}

const STATEMENTS = [
  `create table api_key_limits (
     key text primary key,
     requests_per_minute int,
     tokens_per_minute int,
     monthly_tokens bigint
   )`,
  `alter table models add column first_seen_at bigint`,
  `create index usage_of_key on usage (api_key, at)`,
  `create table api_files (
     id text primary key,
     tenant text not null,
     purpose text not null,
     filename text not null,
     sha256 text not null,
     size bigint not null,
     created_at bigint not null
   )`,
  `create index api_files_of_tenant on api_files (tenant, created_at)`,
  `create table batches (
     id text primary key,
     tenant text not null,
     api_key text not null,
     open boolean not null,
     body text not null,
     created_at bigint not null
   )`,
  `create index batches_open on batches (created_at) where open`,
  `create index batches_of_tenant on batches (tenant, created_at)`,
  `create table batch_results (
     batch text not null,
     line int not null,
     failed boolean not null,
     body text not null,
     primary key (batch, line)
   )`,
];
