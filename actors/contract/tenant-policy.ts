import { z } from 'zod';

export const TenantName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'expected a name of lower-case letters, digits and -');

/** What a tenant may have at once, and its part of a full grid; as `PUT /api/tenants/NAME` takes it. What is left out stays as it is. */
export const PolicyChange = z.strictObject({
  weight: z.number().min(0.001).max(1_000).optional(),
  maxRunning: z.number().int().min(0).max(1_000_000).nullable().optional(),
  maxGpus: z.number().int().min(0).max(100_000).nullable().optional(),
});

/** As `GET /api/tenants` answers it, for each tenant. Null: no limit. */
export interface TenantSummary {
  readonly name: string;
  readonly weight: number;
  readonly maxRunning: number | null;
  readonly maxGpus: number | null;
}
