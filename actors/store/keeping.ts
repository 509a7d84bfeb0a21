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

/** Verbs about what the grid keeps besides its jobs: objects and checkpoints. */
export interface KeepingVerbs {
  /** Notes that the object is here, or is about to be, and that somebody wanted it at this time. */
  recordObject(object: ObjectRef, at: number): Promise<void>;
  hasObjects(sha256: readonly string[]): Promise<ReadonlyMap<string, number>>;

  /** In the place of what the device had for the shard. False when that is newer: of a later lease, or further on. */
  saveCheckpoint(checkpoint: CheckpointRow, epoch: number): Promise<boolean>;
  checkpointsOf(job: string, index: number): Promise<readonly CheckpointRow[]>;
  /** Nobody shall go on from it. */
  dropCheckpoint(job: string, epoch: number, index: number, sha256: string): Promise<void>;
}
