import { ApiKey, EnrolmentToken, Tenant } from './entities/access.ts';
import { ClusterEntity, ClusterNode, ClusterSecret, ClusterTimer, Coordinator, Event, Partition } from './entities/cluster.ts';
import { Device, FormerKeyEntity } from './entities/devices.ts';
import { Checkpoint, Job, JobShard, Manifest, ManifestLogEntry, ShardAttempt, ShardResult, StoredObject, Sweep } from './entities/jobs.ts';
import { Audit, DeviceReputation } from './entities/trust.ts';
import { Answer, ApiFile, ApiKeyLimits, Batch, BatchResult, Model, StoredModel, Usage } from './entities/serving.ts';

/**
 * Every table of the grid, as MikroORM knows it. Times are bigint milliseconds since 1970, given by the caller.
 * A migration brings a database here; a test holds that nothing is missing between the two.
 */
export const entities = [
  Coordinator,
  Partition,
  ClusterNode,
  ClusterEntity,
  ClusterTimer,
  ClusterSecret,
  Event,
  Tenant,
  ApiKey,
  EnrolmentToken,
  Device,
  FormerKeyEntity,
  StoredObject,
  Sweep,
  Job,
  JobShard,
  ShardAttempt,
  ShardResult,
  Checkpoint,
  Manifest,
  ManifestLogEntry,
  Model,
  StoredModel,
  Usage,
  Answer,
  ApiKeyLimits,
  ApiFile,
  Batch,
  BatchResult,
  DeviceReputation,
  Audit,
];
