import { z } from 'zod';

/**
 * What changes on a machine while it works, as its agent last read it. Each reading is known or says that it is not: an
 * unknown one never turns into 0 or into "fine".
 */
export const Vitals = z.strictObject({
  /** A machine without any battery is on mains. One whose power state cannot be read is not: it is `unknown`. */
  power: z.enum(['mains', 'battery', 'unknown']),
  /** `unwatched`: nobody works at this machine, so its agent looks for nobody. `unknown` counts as present. */
  owner: z.enum(['away', 'present', 'unwatched', 'unknown']),
  /** The hottest sensor, in degrees Celsius; null when there is none that can be read. */
  celsius: z.number().min(-100).max(500).nullable(),
  /** Free bytes where attempts write; null when unknown. */
  diskFreeBytes: z.number().int().nonnegative().nullable(),
  /** Memory of each GPU that all programs together use, in the order of `capabilities.gpus`; null where unknown. */
  gpuUsedBytes: z.array(z.number().int().nonnegative().nullable()).max(64),
});
export type Vitals = z.infer<typeof Vitals>;

/** What is said of a machine that says nothing: placement gives it no work that asks for mains power. */
export const UNKNOWN_VITALS: Vitals = { power: 'unknown', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] };
