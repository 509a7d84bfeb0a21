import type { Fence, ObjectRef } from '#actors/contract/primitives.ts';

/** Where an attempt of a shard stood: the newest of its device. */
export interface CheckpointRow {
  readonly job: string;
  readonly index: number;
  readonly device: string;
  readonly fence: Fence;
  readonly object: ObjectRef;
  readonly steps: number;
  readonly at: number;
}

/** Objects that nobody has wanted since a time, and that nothing refers to. */
export interface Unwanted {
  /** Wall clock, ms: wanted at this time or later, and it stays. */
  readonly before: number;
  readonly limit: number;
  /** Only these are looked at; left out: all. */
  readonly only?: readonly string[];
}

/**
 * Verbs about what the grid keeps besides its jobs: objects and checkpoints.
 *
 * The row of an object says when somebody last wanted it. Whoever is about to rely on an object, or to store one, writes its row
 * first and only then looks whether the bytes are there. The sweep locks the row, looks again, deletes the bytes and then the row.
 * So either the sweep sees that the object is wanted, or whoever wants it waits for the sweep and then sees that the bytes are gone.
 */
export interface KeepingVerbs {
  /** Somebody wants these objects now: they are here, or about to be. */
  recordObjects(objects: readonly ObjectRef[], at: number): Promise<void>;
  /** Rows for objects that are stored and have none: as if wanted now. Answers how many had none. */
  adoptObjects(objects: readonly ObjectRef[], at: number): Promise<number>;
  /** What a sweep would find. */
  unwantedObjects(before: number): Promise<{ readonly objects: number; readonly bytes: number }>;
  /**
   * Deletes some of them: `remove` is called with the rows locked and deletes the bytes; the rows go when it has. When it fails, all
   * rows stay. Fewer than `limit`: there are no more that nobody else holds. No job, no vote that counts, no checkpoint of an open job,
   * no model and no file refers to them.
   */
  sweepObjects(what: Unwanted, remove: (objects: readonly ObjectRef[]) => Promise<void>): Promise<readonly ObjectRef[]>;
  /** Checkpoints of jobs that are over, or gone. Answers how many there were; a dry run forgets none. */
  forgetCheckpoints(dryRun: boolean): Promise<number>;
  /**
   * True for one coordinator, when the sweep is due (or wanted `early`) and nobody holds it: it is the caller's until `until`.
   * Taken again by who holds it, it is held for longer.
   */
  takeSweep(holder: string, now: { readonly at: number; readonly until: number; readonly early: boolean }): Promise<boolean>;
  /** Gives it back; the next one is due at `dueAt`, whoever is there then. */
  endSweep(holder: string, dueAt: number): Promise<void>;

  /** In the place of what the device had for the shard. False when that is newer: of a later lease, or further on. */
  saveCheckpoint(checkpoint: CheckpointRow, epoch: number): Promise<boolean>;
  checkpointsOf(job: string, index: number): Promise<readonly CheckpointRow[]>;
  /** Nobody shall go on from it. */
  dropCheckpoint(job: string, epoch: number, index: number, sha256: string): Promise<void>;
}
