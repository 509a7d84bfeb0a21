import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ClusterReport, type GpuTotals } from '#actors/contract/cluster-report.ts';
import { clusterReport } from '#actors/device/cluster-report.ts';
import { charge } from '#actors/placement/fleet-node.ts';
import { nodeLedger } from '#actors/placement/node-ledger.ts';
import { job, node } from '#tests/unit/actors/placement/scene.ts';

const GIB = 2 ** 30;
const COUNTS = ['cores', 'coresClaimed', 'memoryBytes', 'memoryClaimedBytes', 'slots', 'slotsFree'] as const;
const GPU_COUNTS = ['gpus', 'gpusFree', 'vramBytes', 'vramClaimedBytes', 'vramUsedBytes'] as const;

describe('the cluster report', () => {
  it('says what is free, promised and used by others, for each backend', () => {
    const gpus = [
      { name: 'L4', backend: 'cuda' as const, memoryBytes: 24 * GIB },
      { name: 'L4', backend: 'cuda' as const, memoryBytes: 24 * GIB },
    ];
    const box = node('dev-000000000a', { gpus, cores: 8, slots: 2 }, { gpuUsedBytes: [0, 10 * GIB] });
    charge(box, job('j', { resources: { cores: 2, gpu: { vramMiB: 4 * 1024 } } }).demand);
    const mac = node('dev-000000000b', { gpus: [{ name: 'M4', backend: 'metal', memoryBytes: 64 * GIB }], cores: 12 });
    const report = clusterReport(
      [{ state: 'present' }, { state: 'present' }, { state: 'absent' }, { state: 'revoked' }],
      [box, mac].map(nodeLedger),
    );
    expect(ClusterReport.parse(report)).toEqual(report);
    expect(report).toMatchObject({ devices: 3, present: 2, cores: 20, coresClaimed: 2 });
    // The attempt went to the GPU with less free memory; the other one stays whole.
    expect(report.gpus).toEqual([
      { backend: 'cuda', gpus: 2, gpusFree: 1, vramBytes: 48 * GIB, vramClaimedBytes: 4 * GIB, vramUsedBytes: 10 * GIB },
      { backend: 'metal', gpus: 1, gpusFree: 1, vramBytes: 64 * GIB, vramClaimedBytes: 0, vramUsedBytes: 0 },
    ]);
  });

  it('is the sum over its devices', () => {
    const backend = fc.constantFrom('cuda' as const, 'metal' as const, 'vulkan' as const);
    const machine = fc.record({
      cores: fc.integer({ min: 1, max: 64 }),
      slots: fc.integer({ min: 0, max: 64 }),
      gpus: fc.array(backend, { maxLength: 4 }),
      taken: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(machine, { maxLength: 12 }), (machines) => {
        const ledgers = machines.map(({ cores, slots, gpus, taken }, n) => {
          const gpu = gpus.map((of) => ({ name: of, backend: of, memoryBytes: 8 * GIB }));
          const one = node(`dev-${String(n).padStart(10, '0')}`, { cores, slots, gpus: gpu });
          for (let i = 0; i < taken; i++) charge(one, job('j', { resources: { gpu: { vramMiB: 3_000 } } }).demand);
          return nodeLedger(one);
        });
        const report = clusterReport(
          ledgers.map(() => ({ state: 'present' as const })),
          ledgers,
        );
        for (const count of COUNTS) expect(report[count]).toBe(ledgers.reduce((sum, ledger) => sum + ledger[count], 0));
        const all: readonly GpuTotals[] = ledgers.flatMap((ledger) => ledger.gpus);
        expect(report.gpus.map((g) => g.backend).sort()).toEqual([...new Set(all.map((g) => g.backend))].sort());
        for (const total of report.gpus) {
          const own = all.filter((g) => g.backend === total.backend);
          for (const count of GPU_COUNTS) expect(total[count]).toBe(own.reduce((sum, gpu) => sum + gpu[count], 0));
        }
      }),
    );
  });
});
