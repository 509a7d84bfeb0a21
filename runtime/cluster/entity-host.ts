import type { Admission } from '#runtime/kernel/ref.ts';

/** Who takes the messages of one kind of entities on this node, for the partitions that it owns. */
export interface EntityHost {
  /** The node owns these partitions now. Messages are delivered when it has settled. */
  activate(epochs: ReadonlyMap<number, number>): Promise<void>;
  /**
   * Ends the entities of these partitions. When it has settled, everything that they wrote is written and they write no more.
   * `lost`: another node has them already, so there is nothing left to write.
   */
  deactivate(partitions: readonly number[], why: 'handed-off' | 'lost'): Promise<void>;
  tell(id: string, name: string, payload: unknown): Admission;
  ask(id: string, name: string, payload: unknown, timeoutMs: number): Promise<unknown>;
}
