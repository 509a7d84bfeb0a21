/** What a tenant may have at once, and its part of a full grid. */
export interface TenantPolicy {
  /** Its part beside the others': one with 2 gets twice what one with 1 gets, while both want more. */
  readonly weight: number;
  /** Attempts running at once; null: as many as there is room for. */
  readonly maxRunning: number | null;
  /** GPUs taken at once; null likewise. */
  readonly maxGpus: number | null;
}

export const DEFAULT_POLICY: TenantPolicy = { weight: 1, maxRunning: null, maxGpus: null };

/** Policies of tenants; a tenant that none was set for has the default. */
export interface TenantVerbs {
  setTenantPolicy(tenant: string, policy: TenantPolicy, at: number): Promise<void>;
  /** Of all tenants that are known, by name. */
  tenantPolicies(): Promise<ReadonlyMap<string, TenantPolicy>>;
}
