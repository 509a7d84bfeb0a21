import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import { ShardDetail, type ProblemJson } from '#actors/contract/live.ts';

import type { Claim, ReceiptFinding } from '../worker/receipt-check.ts';
import type { GridHttp } from './grid-http.ts';
import type { GridSocket } from './grid-socket.ts';
import { asProblem } from './problem.ts';
import { createSource, type Source } from './source.ts';
import type { Timing } from './timing.ts';

/**
 * The shard that a person looks at: its votes and attempts, and what this browser could verify of them.
 *
 * The detail is asked for when the shard is chosen, whenever its state changes, and at most once a second while votes
 * come in and it is open. Signatures are `recorded` until the job is sealed; only then there is a receipt, which a worker
 * checks: `checking`, then `checked`. `unchecked` when the receipt could not be fetched or the worker failed.
 */
export type Proof =
  | { readonly phase: 'recorded' }
  | { readonly phase: 'checking' }
  | { readonly phase: 'checked'; readonly check: ReceiptFinding; readonly receipt: unknown }
  | { readonly phase: 'unchecked'; readonly problem: ProblemJson };

export interface ShardView {
  readonly phase: 'none' | 'loading' | 'ready' | 'failed';
  readonly index: number | null;
  readonly detail: ShardDetail | null;
  readonly proof: Proof;
  readonly problem: ProblemJson | null;
}

export interface ShardInspector {
  readonly view: Source<ShardView>;
  /** Chooses a shard, or none. The same shard again changes nothing. */
  choose(index: number | null): void;
  /** The job changed: `state` is the chosen shard's byte, `votes` the job's total. */
  touch(state: number | undefined, votes: number): void;
  close(): void;
}

export interface ShardInspectorOptions {
  readonly socket: GridSocket;
  readonly http: Pick<GridHttp, 'receipt'>;
  readonly timing: Timing;
  readonly verify: (receipt: unknown, claim: Claim) => Promise<ReceiptFinding>;
  readonly job: string;
}

const REFRESH_MS = 1_000;
const OPEN: ReadonlySet<ShardState | undefined> = new Set(['pending', 'leased', 'voting']);
const NOTHING: ShardView = { phase: 'none', index: null, detail: null, proof: { phase: 'recorded' }, problem: null };

export function inspectShard({ socket, http, timing, verify, job }: ShardInspectorOptions): ShardInspector {
  const view = createSource<ShardView>(NOTHING);
  let turn = 0;
  let seenState: number | undefined;
  let seenVotes = 0;
  let refreshDue = false;
  let closed = false;
  let cancelRefresh = (): void => {};

  function show(change: Partial<ShardView>): void {
    view.set({ ...view.get(), ...change });
  }

  async function load(index: number): Promise<void> {
    const mine = ++turn;
    const current = (): boolean => mine === turn && !closed;
    try {
      const detail = ShardDetail.parse(await socket.request('shard', { job, index }));
      if (!current()) return;
      show({ phase: 'ready', detail, problem: null });
      if (detail.state === 'sealed') await prove({ job, shard: index, output: detail.output?.sha256 ?? null }, current);
    } catch (error) {
      const problem = asProblem(error, {
        code: 'INTERNAL',
        message: 'The grid described this shard in a form that this page does not know.',
      });
      if (current()) show({ phase: view.get().detail ? 'ready' : 'failed', problem });
    }
  }

  async function prove(claim: Claim, current: () => boolean): Promise<void> {
    if (view.get().proof.phase === 'checked') return;
    show({ proof: { phase: 'checking' } });
    let proof: Proof;
    try {
      const receipt = await http.receipt(job, claim.shard);
      proof = receipt === null ? { phase: 'recorded' } : { phase: 'checked', receipt, check: await verify(receipt, claim) };
    } catch (error) {
      proof = { phase: 'unchecked', problem: asProblem(error, { code: 'INTERNAL', message: 'This browser could not check the receipt.' }) };
    }
    if (current()) show({ proof });
  }

  function refresh(): void {
    const { index } = view.get();
    if (index !== null) void load(index);
  }

  return {
    view,
    choose(index) {
      if (index === view.get().index || closed) return;
      turn += 1;
      seenState = undefined;
      view.set(index === null ? NOTHING : { ...NOTHING, phase: 'loading', index });
      refresh();
    },
    touch(state, votes) {
      if (view.get().index === null || closed) return;
      const moved = seenState !== undefined && state !== seenState;
      const voted = votes !== seenVotes && OPEN.has(state === undefined ? undefined : SHARD_STATES[state]);
      seenState = state;
      seenVotes = votes;
      if (moved) {
        refresh();
      } else if (voted && !refreshDue) {
        refreshDue = true;
        cancelRefresh = timing.after(REFRESH_MS, () => {
          refreshDue = false;
          refresh();
        });
      }
    },
    close() {
      closed = true;
      cancelRefresh();
    },
  };
}
