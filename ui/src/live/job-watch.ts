import { JobDelta, JobSnapshot, type JobSummary, type ProblemJson } from '#actors/contract/live.ts';

import type { GridSocket } from './grid-socket.ts';
import { asProblem, UNREACHABLE } from './problem.ts';
import { createSource, type Source } from './source.ts';
import type { Timing } from './timing.ts';

/**
 * One job, live. A snapshot (summary and one byte per shard) comes with the answer to `watch`; numbered deltas follow.
 *
 * States: `loading` → `live` when the snapshot is there. A delta whose number is not the next one, or a lost connection,
 * makes it `behind`: what is known stays on the page and the job is watched anew, which brings a fresh snapshot.
 * `failed` when the grid refuses the job (unknown, somebody else's); only a reconnect leaves it.
 * Deltas that arrive while a snapshot is on its way are kept and applied on top of it; older ones are dropped.
 */
export interface JobView {
  readonly phase: 'loading' | 'live' | 'behind' | 'failed';
  readonly summary: JobSummary | null;
  /** One index into SHARD_STATES per shard. Changed in place: `version` grows with every change. */
  readonly states: Uint8Array;
  readonly version: number;
  readonly problem: ProblemJson | null;
}

export interface JobWatch {
  readonly view: Source<JobView>;
  close(): void;
}

const ASK_AGAIN_MS = 2_000;
const EMPTY = new Uint8Array(0);

/** socket.io hands a browser ArrayBuffers where the contract says Uint8Array. */
function withBytes(raw: unknown): unknown {
  if (typeof raw !== 'object' || raw === null || !('states' in raw)) return raw;
  return raw.states instanceof ArrayBuffer ? { ...raw, states: new Uint8Array(raw.states) } : raw;
}

export function watchJob(options: { socket: GridSocket; timing: Timing; job: string }): JobWatch {
  const { socket, timing, job } = options;
  const view = createSource<JobView>({ phase: 'loading', summary: null, states: EMPTY, version: 0, problem: null });
  let seq = 0;
  let waiting: JobDelta[] | null = null;
  let asking = 0;
  let closed = false;
  let connected = false;
  let cancelRetry = (): void => {};

  function show(change: Partial<JobView>): void {
    if (!closed) view.set({ ...view.get(), ...change, version: view.get().version + 1 });
  }

  function apply(delta: JobDelta): void {
    const { states } = view.get();
    for (const [index, state] of delta.changes) if (index < states.length) states[index] = state;
    seq = delta.seq;
    show({ summary: delta.summary });
  }

  /** True when the delta was the next one, or an old one that says nothing new. */
  function follow(delta: JobDelta): boolean {
    if (delta.seq === seq + 1) apply(delta);
    return delta.seq <= seq;
  }

  async function ask(): Promise<void> {
    const turn = ++asking;
    waiting = [];
    cancelRetry();
    try {
      const snapshot = JobSnapshot.parse(withBytes(await socket.request('watch', { job })));
      if (turn !== asking || closed) return;
      const early = waiting.sort((a, b) => a.seq - b.seq);
      waiting = null;
      seq = snapshot.seq;
      // A copy: the received bytes may be a view into a pool, and deltas write into ours.
      show({ phase: 'live', summary: snapshot.summary, states: snapshot.states.slice(), problem: null });
      if (!early.every(follow)) behind();
    } catch (error) {
      if (turn !== asking || closed) return;
      const problem = asProblem(error, {
        code: 'INTERNAL',
        message: 'The grid described this job in a form that this page does not know.',
      });
      if (problem.code !== UNREACHABLE.code) show({ phase: 'failed', problem });
      else
        cancelRetry = timing.after(ASK_AGAIN_MS, () => {
          if (connected) void ask();
        });
    }
  }

  function behind(): void {
    show({ phase: 'behind' });
    void ask();
  }

  const offDelta = socket.on('job', (payload) => {
    const parsed = JobDelta.safeParse(payload);
    if (parsed.success && parsed.data.summary.id !== job) return;
    if (waiting) {
      if (parsed.success) waiting.push(parsed.data);
    } else if (view.get().phase === 'live' && !(parsed.success && follow(parsed.data))) behind();
  });

  function onConnection(): void {
    const { phase } = socket.connection.get();
    if ((phase === 'connected') === connected) return;
    connected = phase === 'connected';
    if (connected) void ask();
    else if (view.get().phase === 'live') show({ phase: 'behind' });
  }
  const offConnection = socket.connection.subscribe(onConnection);
  onConnection();

  return {
    view,
    close() {
      closed = true;
      cancelRetry();
      offDelta();
      offConnection();
      if (connected) void socket.request('unwatch', { job }).catch(() => {});
    },
  };
}
