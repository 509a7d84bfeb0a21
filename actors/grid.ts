import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { deviceActor } from '#actors/device/device.actor.ts';
import { devicesActor } from '#actors/device/devices.actor.ts';
import { DevicesProtocol, type DevicesRef } from '#actors/device/devices.protocol.ts';
import { devicesRouterActor } from '#actors/device/devices-router.actor.ts';
import { feedActor, type Audience } from '#actors/feed/feed.actor.ts';
import { FeedProtocol, type FeedRef } from '#actors/feed/feed.protocol.ts';
import { feedRelayActor } from '#actors/feed/feed-relay.actor.ts';
import { jobActor } from '#actors/job/job.actor.ts';
import { jobsActor } from '#actors/job/jobs.actor.ts';
import type { JobsRef } from '#actors/job/jobs.protocol.ts';
import { jobsRouterActor } from '#actors/job/jobs-router.actor.ts';
import type { Revive } from '#actors/generation/revive.ts';
import { usageActor } from '#actors/generation/usage.actor.ts';
import type { UsageRef } from '#actors/generation/usage.protocol.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import { ModelsProtocol, type ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import { modelsRouterActor } from '#actors/model-pool/models-router.actor.ts';
import { modelsActor } from '#actors/model-pool/models.actor.ts';
import { placementActor } from '#actors/placement/placement.actor.ts';
import { PlacementProtocol, type PlacementRef } from '#actors/placement/placement.protocol.ts';
import { placementRelayActor } from '#actors/placement/placement-relay.actor.ts';
import { quorumActor } from '#actors/quorum/quorum.actor.ts';
import { createTrustBook } from '#actors/quorum/trust-book.ts';
import type { Services } from '#actors/services.ts';
import { shardActor } from '#actors/shard/shard.actor.ts';
import { tenantActor } from '#actors/tenant/tenant.actor.ts';
import type { TenantRef } from '#actors/tenant/tenant.protocol.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import type { ActorRef } from '#runtime/kernel/ref.ts';
import type { System } from '#runtime/kernel/system.ts';

/** The control plane's actors, without doors. The coordinator puts doors in front of them; the simulation puts itself there. */
export interface GridRefs {
  readonly tenants: TenantRef;
  readonly feed: FeedRef;
  readonly models: ModelsRef;
  readonly usageLog: UsageRef;
  readonly placement: PlacementRef;
  /** Those of this coordinator. */
  readonly jobs: JobsRef;
  readonly devices: DevicesRef;
  /** Those of all coordinators; of one that is alone the same. */
  readonly allJobs: JobsRef;
  readonly allDevices: DevicesRef;
  readonly allModels: ModelsRef;
}

/** The other coordinators, and what these may know of this one. */
export interface GridPeers extends GridCluster {
  /** Partitions of this coordinator. */
  readonly owned: ReadonlyMap<number, number>;
  publish(name: string, ref: ActorRef, protocol: Protocol): void;
}

export interface GridArgs {
  readonly services: Services;
  readonly audience: Audience;
  /** Undefined: nobody wants what a coordinator before this one had begun. */
  readonly revive?: Revive;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Undefined: this coordinator is alone, and every partition of the services is its own. */
  readonly peers?: GridPeers;
}

/** Starts the actors and makes them known to each other: the one place where definitions meet. */
export function spawnGrid(system: System, { services, audience, randomBytes, peers, revive = () => null }: GridArgs): GridRefs {
  // Placement tells jobs about leases, jobs wake placement, devices tell both: each is reached through a thunk.
  let allJobs: JobsRef;
  let allDevices: DevicesRef;
  const tenants = system.spawn({ id: 'tenants', actor: tenantActor, restart: 'permanent', args: { services, randomBytes } });
  const feed = system.spawn({ id: 'feed', actor: feedActor, restart: 'permanent', args: { audience } });
  const usageLog = system.spawn({ id: 'usage', actor: usageActor, restart: 'permanent', args: { services } });
  const models = system.spawn({ id: 'models', actor: modelsActor, restart: 'permanent', args: { services, pool: modelPoolActor } });
  const placement = system.spawn({ id: 'placement', actor: placementActor, restart: 'permanent', args: { services, jobs: () => allJobs } });
  const wide = peers && spawnRelays(system, peers, { feed, placement });
  const jobs = system.spawn({
    id: 'jobs',
    actor: jobsActor,
    restart: 'permanent',
    args: {
      services,
      placement: wide?.placement ?? placement,
      feed: wide?.feed ?? feed,
      devices: () => allDevices,
      makeBook: createTrustBook,
      job: jobActor,
      quorum: quorumActor,
      shard: shardActor,
      owned: peers?.owned,
    },
  });
  const devices = system.spawn({
    id: 'devices',
    actor: devicesActor,
    restart: 'permanent',
    args: {
      services,
      device: deviceActor,
      jobs: () => allJobs,
      placement: () => placement,
      models: () => models,
      feed: wide?.feed ?? feed,
      revive,
    },
  });
  allJobs = jobs;
  allDevices = devices;
  let allModels: ModelsRef = models;
  if (peers !== undefined) {
    peers.publish('devices', devices, DevicesProtocol);
    peers.publish('models', models, ModelsProtocol);
    allModels = system.spawn({
      id: 'models-router',
      actor: modelsRouterActor,
      restart: 'permanent',
      args: { cluster: peers, local: models },
    });
    allJobs = system.spawn({ id: 'jobs-router', actor: jobsRouterActor, restart: 'permanent', args: { cluster: peers, local: jobs } });
    allDevices = system.spawn({
      id: 'devices-router',
      actor: devicesRouterActor,
      restart: 'permanent',
      args: { cluster: peers, local: devices },
    });
  }
  return { tenants, feed, models, usageLog, placement, jobs, devices, allJobs, allDevices, allModels };
}

/** What jobs and devices say to the feed and to placement is for all coordinators. */
function spawnRelays(
  system: System,
  cluster: GridPeers,
  { feed, placement }: Pick<GridRefs, 'feed' | 'placement'>,
): Pick<GridRefs, 'feed' | 'placement'> {
  cluster.publish('feed', feed, FeedProtocol);
  cluster.publish('placement', placement, PlacementProtocol);
  return {
    feed: system.spawn({ id: 'feed-relay', actor: feedRelayActor, restart: 'permanent', args: { cluster, local: feed } }),
    placement: system.spawn({
      id: 'placement-relay',
      actor: placementRelayActor,
      restart: 'permanent',
      args: { cluster, local: placement },
    }),
  };
}
