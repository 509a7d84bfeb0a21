import { hostname } from 'node:os';

import { WebSocket } from 'ws';

import { DeviceProtocol } from '#actors/device/device.protocol.ts';
import { GenerationProtocol } from '#actors/generation/generation.protocol.ts';
import { JobProtocol } from '#actors/job/job.protocol.ts';
import { JobsProtocol, type JobsRef } from '#actors/job/jobs.protocol.ts';
import { ModelPoolProtocol } from '#actors/model-pool/model-pool.protocol.ts';
import { PARTITIONS } from '#actors/store/store.ts';
import { askByName, tellByName } from '#runtime/cluster/call.ts';
import { createCluster, type Cluster } from '#runtime/cluster/cluster.ts';
import type { ClusterStore } from '#runtime/cluster/cluster-store.ts';
import type { EntityHost } from '#runtime/cluster/entity-host.ts';
import type { SlicedHost } from '#runtime/cluster/slices.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import type { System } from '#runtime/kernel/system.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import type { SocketLike } from '#runtime/link/socket.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { GridCluster } from './grid-cluster.ts';

const PEER_PATH = '/peer';

/** Jobs are entities of this kind: their id is the job's. */
const JOB = 'job';
/** Activation reads every open job of a partition, and may have to wait for a database that comes back. */
const GAIN_MS = 600_000;

export interface JoinClusterOptions {
  readonly id: string;
  /** Where other coordinators reach this one's door; known once it listens. */
  readonly address: () => string;
  readonly host: Host;
  readonly slices: SlicedHost;
  readonly system: System;
  readonly store: ClusterStore;
  readonly log: Log;
  readonly jobs: () => JobsRef;
  /** Opens a socket to another coordinator, see `PeersOptions`; default: a WebSocket. */
  readonly dial?: (address: string, onRefused: () => void) => SocketLike;
  /** Default: one of this run alone, for which the database vouches. */
  readonly key?: KeyPair;
}

export interface JoinedCluster extends GridCluster {
  readonly cluster: Cluster;
}

/** This coordinator as a node of the cluster. Nothing happens before `cluster.start()`. */
export function joinCluster(options: JoinClusterOptions): JoinedCluster {
  const { id, address, host, slices, system, store, log, jobs, dial = dialWebSocket, key = generateKeyPair() } = options;
  const jobHost: EntityHost = {
    activate: (epochs) => jobs().gained(epochs, { timeoutMs: GAIN_MS }),
    async deactivate(partitions) {
      if (partitions.length > 0) await jobs().released(partitions, { timeoutMs: GAIN_MS });
    },
    tell: (_job, name, payload) => tellByName(jobs(), JobsProtocol, name, payload),
    ask: (_job, name, payload, timeoutMs) => askByName(jobs(), JobsProtocol, name, payload, timeoutMs),
  };
  const cluster = createCluster({
    host,
    slices,
    system,
    store,
    node: {
      id,
      get address() {
        return address();
      },
      host: hostname(),
      weight: 1,
    },
    key,
    partitions: PARTITIONS,
    hosts: new Map([[JOB, jobHost]]),
    protocols: [DeviceProtocol, GenerationProtocol, JobProtocol, ModelPoolProtocol],
    dial,
    log,
    // What the other one told jobs here may have been lost: the store knows what there is, and devices say it again.
    onBroken: () => void jobs().reload(),
  });

  return {
    cluster,
    tellJob: (job, name, payload) => void cluster.tell(JOB, job, name, payload),
    askJob: (job, name, payload, timeoutMs) => cluster.ask(JOB, job, name, payload, timeoutMs),
    others: <P extends Protocol>(name: string, protocol: P): ReadonlyMap<string, Ref<P>> =>
      new Map(cluster.peers.map((node) => [node, cluster.actors.on(node, name, protocol)])),
  };
}

function dialWebSocket(address: string, onRefused: () => void): SocketLike {
  const url = new URL(PEER_PATH, address);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const ws = new WebSocket(url, { perMessageDeflate: false, maxPayload: largestFrame(), handshakeTimeout: 2_000 });
  ws.once('error', (error: NodeJS.ErrnoException) => {
    // Only a machine that runs refuses: its process is gone.
    if (error.code === 'ECONNREFUSED') onRefused();
  });
  return wsSocket(ws);
}
