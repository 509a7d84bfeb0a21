import { z } from 'zod';

import { DeviceId } from './primitives.ts';
import { GpuBackend } from './requirements.ts';

const Count = z.number().int().nonnegative();

/** GPU memory of one backend: what there is, what attempts were promised, what programs other than ours use. */
export const GpuTotals = z.strictObject({
  backend: GpuBackend,
  gpus: Count,
  /** Neither promised to an attempt nor used by another program. */
  gpusFree: Count,
  vramBytes: Count,
  vramClaimedBytes: Count,
  vramUsedBytes: Count,
});
export type GpuTotals = z.infer<typeof GpuTotals>;

/** What one connected device has, and what is taken of it. */
export const DeviceLedger = z.strictObject({
  device: DeviceId,
  cores: z.number().nonnegative(),
  coresClaimed: z.number().nonnegative(),
  memoryBytes: Count,
  memoryClaimedBytes: Count,
  slots: Count,
  slotsFree: Count,
  gpus: z.array(GpuTotals),
});
export type DeviceLedger = z.infer<typeof DeviceLedger>;

/** The cluster: each number is the sum over `ledgers`, the connected devices. */
export const ClusterReport = z.strictObject({
  /** Enrolled and not revoked. */
  devices: Count,
  present: Count,
  cores: z.number().nonnegative(),
  coresClaimed: z.number().nonnegative(),
  memoryBytes: Count,
  memoryClaimedBytes: Count,
  slots: Count,
  slotsFree: Count,
  running: Count,
  gpus: z.array(GpuTotals),
  ledgers: z.array(DeviceLedger),
});
export type ClusterReport = z.infer<typeof ClusterReport>;
