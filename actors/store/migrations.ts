import { FirstLight } from './migrations/2026-11-23-first-light.ts';
import { Serving } from './migrations/2026-11-24-serving.ts';
import { StoredModels } from './migrations/2026-11-24-stored-models.ts';
import { Cluster } from './migrations/2026-11-24-cluster.ts';
import { Evidence } from './migrations/2026-11-24-evidence.ts';
import { TrustInDevices } from './migrations/2026-11-24-trust.ts';
import { TenantPolicies } from './migrations/2026-11-25-tenant-policies.ts';
import { FormerKeys } from './migrations/2026-11-25-former-keys.ts';
import { Answers } from './migrations/2026-11-25-answers.ts';
import { Retries } from './migrations/2026-11-24-retries.ts';
import { VoteBatches } from './migrations/2026-11-24-vote-batches.ts';
import { ClusterWrites } from './migrations/2026-11-25-cluster-writes.ts';
import { Checkpoints } from './migrations/2026-11-25-checkpoints.ts';
import { Sweeps } from './migrations/2026-11-25-sweeps.ts';

/** Steps from an empty database to `entities`, oldest first. A name is never changed: databases remember it. */
export const migrations = [
  { name: '2026-11-23-first-light', class: FirstLight },
  { name: '2026-11-24-serving', class: Serving },
  { name: '2026-11-24-cluster', class: Cluster },
  { name: '2026-11-24-trust', class: TrustInDevices },
  { name: '2026-11-24-stored-models', class: StoredModels },
  { name: '2026-11-24-evidence', class: Evidence },
  { name: '2026-11-24-vote-batches', class: VoteBatches },
  { name: '2026-11-24-retries', class: Retries },
  { name: '2026-11-25-cluster-writes', class: ClusterWrites },
  { name: '2026-11-25-tenant-policies', class: TenantPolicies },
  { name: '2026-11-25-former-keys', class: FormerKeys },
  { name: '2026-11-25-checkpoints', class: Checkpoints },
  { name: '2026-11-25-sweeps', class: Sweeps },
  { name: '2026-11-25-answers', class: Answers },
];
