import { DEFAULT_POLICY, type TenantVerbs } from '../tenant-policy.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

export function tenantVerbs(connection: Connection, tables: Tables): TenantVerbs {
  return {
    setTenantPolicy: (tenant, policy) =>
      connection.transaction('setTenantPolicy', async (tx) => {
        await tx.statement();
        await tx.lock('tenant', [tenant], 'update');
        tx.put(tables.tenantPolicies, tenant, { ...policy });
      }),
    tenantPolicies: () =>
      connection.read('tenantPolicies', () => {
        // Whoever has a key is a tenant.
        const names = new Set([...tables.tenantPolicies.keys(), ...Array.from(tables.apiKeys.values(), ({ tenant }) => tenant)]);
        return new Map([...names].sort().map((name) => [name, { ...(tables.tenantPolicies.get(name) ?? DEFAULT_POLICY) }]));
      }),
  };
}
