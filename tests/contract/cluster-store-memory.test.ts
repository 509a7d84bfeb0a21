import { describe } from 'vitest';

import { createMemoryCluster } from '#runtime/cluster/memory/memory-cluster.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { clusterStoreContract } from './cluster-store.contract.ts';

describe('the cluster in memory', () => {
  clusterStoreContract(async () => {
    const host = virtualHost(1);
    return { ...createMemoryCluster(host.clock, 256), pass: (ms) => host.advance(ms), close: async () => undefined };
  });
});
