import { Migration } from '@mikro-orm/migrations';

/** A shard whose attempt failed may have to wait before it runs again. */
export class Retries extends Migration {
  override up(): void {
    this.addSql('alter table job_shards add column retry_at bigint');
  }

  override down(): void {
    this.addSql('alter table job_shards drop column retry_at');
  }
}
