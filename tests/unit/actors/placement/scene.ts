import type { Capabilities } from '#actors/contract/agent-link.ts';
import { JobSpec } from '#actors/contract/job-spec.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import { demandOf } from '#actors/placement/demand.ts';
import { fleetNode, type FleetNode } from '#actors/placement/fleet-node.ts';
import type { OpenJob } from '#actors/placement/job-order.ts';
import type { Candidate } from '#actors/store/store.ts';

export const FINE: Vitals = { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] };

export function node(device: string, capabilities: Partial<Capabilities> = {}, vitals: Partial<Vitals> = {}): FleetNode {
  const machine: Capabilities = {
    agentVersion: '1',
    hostname: device,
    os: 'linux',
    arch: 'x64',
    cores: 4,
    memoryBytes: 16 * 2 ** 30,
    slots: 4,
    kinds: ['wasm'],
    gpus: [],
    models: [],
    ...capabilities,
  };
  return fleetNode({ device, capabilities: machine, vitals: { ...FINE, ...vitals } });
}

type SpecInput = Partial<Record<'resources' | 'constraints' | 'limits', unknown>>;

export function job(id: string, spec: SpecInput = {}, options: Partial<OpenJob> = {}): OpenJob {
  const parsed = JobSpec.parse({
    version: 1,
    name: id,
    kind: 'wasm',
    module: { sha256: '0'.repeat(64), size: 1 },
    shards: { count: 1 },
    ...spec,
  });
  return { job: id, tenant: 'default', priority: 0, submittedAt: 0, deadlineAt: null, demand: demandOf(parsed), ...options };
}

let shardIds = 0;

export function candidate(of: string, wanted = 1, barred: string[] = []): Candidate {
  const shardId = (shardIds += 1);
  return { shardId, job: of, partition: 0, index: shardId, wanted, priority: 0, barred };
}
