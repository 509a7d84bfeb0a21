import { deviceActor } from '#actors/device/device.actor.ts';
import { devicesActor } from '#actors/device/devices.actor.ts';
import type { DevicesRef } from '#actors/device/devices.protocol.ts';
import { feedActor, type Audience } from '#actors/feed/feed.actor.ts';
import type { FeedRef } from '#actors/feed/feed.protocol.ts';
import { jobActor } from '#actors/job/job.actor.ts';
import { jobsActor } from '#actors/job/jobs.actor.ts';
import type { JobsRef } from '#actors/job/jobs.protocol.ts';
import { usageActor } from '#actors/generation/usage.actor.ts';
import type { UsageRef } from '#actors/generation/usage.protocol.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import type { ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import { modelsActor } from '#actors/model-pool/models.actor.ts';
import { placementActor } from '#actors/placement/placement.actor.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import { quorumActor } from '#actors/quorum/quorum.actor.ts';
import { createTrustBook } from '#actors/quorum/trust-book.ts';
import type { Services } from '#actors/services.ts';
import { shardActor } from '#actors/shard/shard.actor.ts';
import { tenantActor } from '#actors/tenant/tenant.actor.ts';
import type { TenantRef } from '#actors/tenant/tenant.protocol.ts';
import type { System } from '#runtime/kernel/system.ts';

/** The control plane's actors, without doors. The coordinator puts doors in front of them; the simulation puts itself there. */
export interface GridRefs {
  readonly tenants: TenantRef;
  readonly feed: FeedRef;
  readonly models: ModelsRef;
  readonly usageLog: UsageRef;
  readonly placement: PlacementRef;
  readonly jobs: JobsRef;
  readonly devices: DevicesRef;
}

export interface GridArgs {
  readonly services: Services;
  readonly audience: Audience;
  readonly randomBytes: (length: number) => Uint8Array;
}

/** Starts the actors and makes them known to each other: the one place where definitions meet. */
export function spawnGrid(system: System, { services, audience, randomBytes }: GridArgs): GridRefs {
  // Placement tells jobs about leases, jobs wake placement, devices tell both: each is reached through a thunk.
  let jobs: JobsRef;
  let devices: DevicesRef;
  const tenants = system.spawn({ id: 'tenants', actor: tenantActor, restart: 'permanent', args: { services, randomBytes } });
  const feed = system.spawn({ id: 'feed', actor: feedActor, restart: 'permanent', args: { audience } });
  const usageLog = system.spawn({ id: 'usage', actor: usageActor, restart: 'permanent', args: { services } });
  const models = system.spawn({ id: 'models', actor: modelsActor, restart: 'permanent', args: { services, pool: modelPoolActor } });
  const placement = system.spawn({ id: 'placement', actor: placementActor, restart: 'permanent', args: { services, jobs: () => jobs } });
  jobs = system.spawn({
    id: 'jobs',
    actor: jobsActor,
    restart: 'permanent',
    args: {
      services,
      placement,
      feed,
      devices: () => devices,
      makeBook: createTrustBook,
      job: jobActor,
      quorum: quorumActor,
      shard: shardActor,
    },
  });
  devices = system.spawn({
    id: 'devices',
    actor: devicesActor,
    restart: 'permanent',
    args: { services, device: deviceActor, jobs: () => jobs, placement: () => placement, models: () => models, feed },
  });
  return { tenants, feed, models, usageLog, placement, jobs, devices };
}
