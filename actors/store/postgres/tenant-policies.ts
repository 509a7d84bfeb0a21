import { sql } from 'kysely';

import type { TenantPolicy, TenantVerbs } from '../tenant-policy.ts';
import type { Database } from './transaction.ts';

interface PolicyRecord {
  name: string;
  weight: number;
  max_running: number | null;
  max_gpus: number | null;
}

export function tenantVerbs(db: Database): TenantVerbs {
  return {
    async setTenantPolicy(tenant, { weight, maxRunning, maxGpus }, at) {
      await sql`
        insert into tenants (name, created_at, weight, max_running, max_gpus) values (${tenant}, ${at}, ${weight}, ${maxRunning}, ${maxGpus})
        on conflict (name) do update set weight = excluded.weight, max_running = excluded.max_running, max_gpus = excluded.max_gpus
      `.execute(db);
    },
    async tenantPolicies() {
      const { rows } = await sql<PolicyRecord>`select name, weight, max_running, max_gpus from tenants order by name collate "C"`.execute(
        db,
      );
      return new Map(
        rows.map(({ name, weight, max_running: maxRunning, max_gpus: maxGpus }): [string, TenantPolicy] => [
          name,
          { weight, maxRunning, maxGpus },
        ]),
      );
    },
  };
}
