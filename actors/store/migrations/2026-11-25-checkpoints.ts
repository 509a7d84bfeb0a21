import { Migration } from '@mikro-orm/migrations';

/** Where attempts stood, so that they need not begin anew. */
export class Checkpoints extends Migration {
  override up(): void {
    this.addSql(`
      create table checkpoints (
        job_id uuid, shard_index int, device text, epoch bigint not null, seq bigint not null,
        sha256 text not null, size bigint not null, steps bigint not null, at bigint not null,
        primary key (job_id, shard_index, device)
      )`);
  }

  override down(): void {
    this.addSql('drop table checkpoints');
  }
}
