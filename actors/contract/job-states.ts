import { z } from 'zod';

/** States as they are stored and shown. The machines themselves stand in `actors/job`, `actors/shard` and `actors/device`. */

export const JobState = z.enum(['queued', 'running', 'paused', 'sealing', 'done', 'failed', 'cancelled']);
export type JobState = z.infer<typeof JobState>;

/** Order matters: the live feed sends a shard's state as its index in this list. */
export const SHARD_STATES = ['pending', 'leased', 'voting', 'provisional', 'sealed', 'failed', 'blocked'] as const;
export const ShardState = z.enum(SHARD_STATES);
export type ShardState = z.infer<typeof ShardState>;

export const AttemptState = z.enum(['leased', 'suspect', 'expired', 'voted', 'refused', 'failed', 'released']);
export type AttemptState = z.infer<typeof AttemptState>;

export const DeviceState = z.enum(['enrolled', 'present', 'draining', 'absent', 'revoked']);
export type DeviceState = z.infer<typeof DeviceState>;
