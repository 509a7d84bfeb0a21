import { Migration } from '@mikro-orm/migrations';

/** Model files that the grid itself keeps, so that it can bring them to devices. */
export class StoredModels extends Migration {
  override up(): void {
    this.addSql(`
      create table stored_models (
        name text primary key, sha256 text not null, size bigint not null, chunks text not null, header jsonb not null,
        source text not null, created_at bigint not null
      )`);
  }

  override down(): void {
    this.addSql('drop table stored_models');
  }
}
