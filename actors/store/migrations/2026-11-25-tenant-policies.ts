import { Migration } from '@mikro-orm/migrations';

/** What each tenant may have at once, and its part of a full grid. */
export class TenantPolicies extends Migration {
  override up(): void {
    this.addSql(
      'alter table tenants add column weight double precision not null default 1, add column max_running int, add column max_gpus int',
    );
  }

  override down(): void {
    this.addSql('alter table tenants drop column weight, drop column max_running, drop column max_gpus');
  }
}
