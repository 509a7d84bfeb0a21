import type { Protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** What the grid's actors need to know of the other coordinators. */
export interface GridCluster {
  /** To the job, wherever it lives; see `JobsProtocol`. */
  tellJob(job: string, name: string, payload: unknown): void;
  askJob(job: string, name: string, payload: unknown, timeoutMs: number): Promise<unknown>;
  /** The actors that the other coordinators published under that name, by coordinator. */
  others<P extends Protocol>(name: string, protocol: P): ReadonlyMap<string, Ref<P>>;
}
