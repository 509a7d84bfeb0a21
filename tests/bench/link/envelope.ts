/** The message of the measurements: 230 bytes as JSON. */
export interface Envelope {
  readonly seq: number;
  readonly to: number;
  readonly from: number;
  readonly type: string;
  readonly traceId: string;
  readonly body: {
    readonly jobId: string;
    readonly shard: number;
    readonly progress: number;
    readonly vals: readonly number[];
    readonly state: string;
  };
}

export function envelope(seq: number): Envelope {
  return {
    seq,
    to: 17,
    from: 42,
    type: 'shard.progress',
    traceId: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    body: { jobId: 'job-8f14e45f', shard: seq & 255, progress: 0.3125, vals: [1.5, 2.25, 3.125, 4], state: 'running' },
  };
}

/** A large body, and what must not wait behind it: `sentMs` is the machine's monotonic clock, the same in both processes. */
export interface Bulk {
  readonly bytes: Uint8Array;
}
export interface Urgent {
  readonly sentMs: number;
}
export type Message = Envelope | Bulk | Urgent;

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** What the process has used of any core since then, in microseconds: all its threads, the kernel's part included. */
export function cpuSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return user + system;
}
