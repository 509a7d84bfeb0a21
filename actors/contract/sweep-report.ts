import { z } from 'zod';

/** `POST /api/objects/sweep`. */
export const SweepOrder = z.strictObject({ dryRun: z.boolean().default(false) });
export type SweepOrder = z.infer<typeof SweepOrder>;

/** What a sweep deleted, or would delete. */
export interface SweepReport {
  readonly dryRun: boolean;
  /** Objects that nobody wanted, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** Checkpoints of jobs that are over. */
  readonly checkpoints: number;
  /** Uploads that never came to an end. A dry run does not look for them. */
  readonly uploads: number;
  /** Objects that were stored and not on record: they are from now on, and go when nobody wants them. A dry run does not look. */
  readonly adopted: number;
}
