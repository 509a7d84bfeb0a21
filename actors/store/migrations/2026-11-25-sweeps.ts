import { Migration } from '@mikro-orm/migrations';

/** When objects that nobody wants are next deleted, and who is at it. What votes refer to is found without reading all of them. */
export class Sweeps extends Migration {
  override up(): void {
    this.addSql(`
      create table sweeps (
        id smallint primary key constraint sweeps_id_check check (id = 1),
        due_at bigint not null,
        holder text,
        held_until bigint not null
      )`);
    this.addSql('insert into sweeps (id, due_at, held_until) values (1, 0, 0)');
    this.addSql('create index shard_results_objects on shard_results (sha256) where bytes is null and refusal is null');
  }

  override down(): void {
    this.addSql('drop index shard_results_objects');
    this.addSql('drop table sweeps');
  }
}
