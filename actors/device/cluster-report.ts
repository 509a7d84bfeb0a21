import type { ClusterReport, DeviceLedger, GpuTotals } from '#actors/contract/cluster-report.ts';
import type { DeviceRow } from '#actors/store/store.ts';

/** Sums what the connected devices have. `rows` are all that are enrolled. */
export function clusterReport(rows: readonly Pick<DeviceRow, 'state'>[], ledgers: readonly DeviceLedger[]): ClusterReport {
  const sum = (value: (ledger: DeviceLedger) => number): number => ledgers.reduce((total, ledger) => total + value(ledger), 0);
  return {
    devices: rows.filter(({ state }) => state !== 'revoked').length,
    present: ledgers.length,
    cores: sum((d) => d.cores),
    coresClaimed: sum((d) => d.coresClaimed),
    memoryBytes: sum((d) => d.memoryBytes),
    memoryClaimedBytes: sum((d) => d.memoryClaimedBytes),
    slots: sum((d) => d.slots),
    slotsFree: sum((d) => d.slotsFree),
    running: sum((d) => d.slots - d.slotsFree),
    gpus: sumGpus(ledgers.flatMap(({ gpus }) => gpus)),
    ledgers: [...ledgers],
  };
}

/** One entry for each backend. */
function sumGpus(gpus: readonly GpuTotals[]): GpuTotals[] {
  const sums = new Map<string, GpuTotals>();
  for (const gpu of gpus) {
    const sum = sums.get(gpu.backend);
    if (sum === undefined) {
      sums.set(gpu.backend, { ...gpu });
      continue;
    }
    sum.gpus += gpu.gpus;
    sum.gpusFree += gpu.gpusFree;
    sum.vramBytes += gpu.vramBytes;
    sum.vramClaimedBytes += gpu.vramClaimedBytes;
    sum.vramUsedBytes += gpu.vramUsedBytes;
  }
  return [...sums.values()].sort((a, b) => (a.backend < b.backend ? -1 : 1));
}
