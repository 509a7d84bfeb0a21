import { Migration } from '@mikro-orm/migrations';

/** Where a vote stands in the batch that its signature covers. */
export class VoteBatches extends Migration {
  override up(): void {
    this.addSql('alter table shard_results add column batch json');
  }

  override down(): void {
    this.addSql('alter table shard_results drop column batch');
  }
}
