import { z } from 'zod';

import { JobId } from './primitives.ts';

/** Why a device may not run a shard now: the first that holds, in the order in which placement asks. */
export const DEVICE_REASONS = [
  'absent',
  'revoked',
  'draining',
  'suspended',
  'kind',
  'os',
  'arch',
  'site',
  'excluded',
  'sandbox',
  'backend',
  'coresTotal',
  'memoryTotal',
  'vramTotal',
  'power',
  'owner',
  'temperature',
  'quarantine',
  'backoff',
  'barred',
  'spread',
  'slots',
  'cores',
  'memory',
  'disk',
  'vram',
] as const;
export const DeviceReason = z.enum(DEVICE_REASONS);
export type DeviceReason = z.infer<typeof DeviceReason>;

/** The same for people; each reads on from "N devices". */
export const REASON_TEXT: Readonly<Record<DeviceReason, string>> = {
  absent: 'not connected',
  revoked: 'revoked',
  draining: 'draining: they finish what they have',
  suspended: 'lost their connection a moment ago',
  kind: 'cannot run this kind of job',
  os: 'have another operating system',
  arch: 'have another processor architecture',
  site: 'stand at another site',
  excluded: 'are excluded by the job',
  sandbox: 'have a weaker sandbox than the job asks for',
  backend: 'have no GPU of this kind',
  coresTotal: 'have too few cores',
  memoryTotal: 'have too little memory',
  vramTotal: 'have too little GPU memory',
  power: 'are not known to be on mains power',
  owner: 'are in use by their owner',
  temperature: 'are too hot',
  quarantine: 'are in quarantine for wrong results',
  backoff: 'failed at this job and get a pause',
  barred: 'work on this shard, have voted on it, or belong with one that has',
  spread: 'stand at a site that works on it already',
  slots: 'have no free slot',
  cores: 'have too few free cores',
  memory: 'have too little free memory',
  disk: 'have too little free disk',
  vram: 'have too little free GPU memory',
};

/** What holds a job's shards back that no device can help. */
export const JobHold = z.enum(['none', 'queued', 'paused', 'ended', 'needs', 'quota', 'share', 'merge', 'retry']);
export type JobHold = z.infer<typeof JobHold>;

export const WhyPending = z.strictObject({
  job: JobId,
  /** The shard that was asked about; null: any pending shard of the job. */
  shard: z.number().int().nullable(),
  /** Shards that wait: to be leased at all, or for their merge. */
  pending: z.number().int(),
  hold: JobHold,
  /** One sentence for people. */
  text: z.string(),
  /** Devices of the grid, and those that could take a shard this moment. */
  devices: z.number().int(),
  eligible: z.number().int(),
  /** The other devices, by reason; most first. */
  reasons: z.array(z.strictObject({ reason: DeviceReason, devices: z.number().int(), text: z.string() })),
});
export type WhyPending = z.infer<typeof WhyPending>;
