import { io } from 'socket.io-client';
import { z } from 'zod';

import type { ProblemJson } from '#actors/contract/live.ts';

import { asProblem, GridProblem, UNREACHABLE } from './problem.ts';
import { createSource, type Source } from './source.ts';
import type { Timing } from './timing.ts';

/**
 * The connection to the grid's live feed.
 *
 * `connecting` until the first welcome; `connected` with the round trip of the last request; `lost` while the network or
 * the coordinator is away, and socket.io tries again by itself; `refused` when the grid turned the key down, which is final.
 */
export type Connection =
  | { readonly phase: 'connecting'; readonly problem: ProblemJson | null }
  | { readonly phase: 'connected'; readonly lagMs: number | null }
  | { readonly phase: 'lost'; readonly since: number }
  | { readonly phase: 'refused'; readonly problem: ProblemJson };

export interface GridSocket {
  readonly connection: Source<Connection>;
  /** The acknowledged value, not yet checked against its schema. Rejects with GridProblem, also when no answer comes in time. */
  request(event: string, payload?: unknown): Promise<unknown>;
  on(event: string, receive: (payload: unknown) => void): () => void;
  close(): void;
}

export interface GridSocketOptions {
  readonly url: string;
  readonly key: string;
  readonly timing: Timing;
  /** How often the round trip is measured; 0 for never. */
  readonly probeEveryMs?: number;
}

const ANSWER_WITHIN_MS = 15_000;
const NO_JOB = '00000000-0000-0000-0000-000000000000';
const AnswerShape = z.union([
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({ ok: z.literal(false), error: z.unknown() }),
]);

/** A GridSocket over socket.io. The caller closes it. */
export function connectGrid({ url, key, timing, probeEveryMs = 5_000 }: GridSocketOptions): GridSocket {
  const connection = createSource<Connection>({ phase: 'connecting', problem: null });
  const socket = io(url, { auth: { key }, transports: ['websocket', 'polling'], reconnectionDelay: 500, reconnectionDelayMax: 5_000 });
  let cancelProbe = (): void => {};

  async function request(event: string, payload?: unknown): Promise<unknown> {
    const asked = timing.now();
    let raw: unknown;
    try {
      const waiting = socket.timeout(ANSWER_WITHIN_MS);
      raw = payload === undefined ? await waiting.emitWithAck(event) : await waiting.emitWithAck(event, payload);
    } catch {
      throw new GridProblem(UNREACHABLE);
    }
    if (connection.get().phase === 'connected') connection.set({ phase: 'connected', lagMs: Math.max(0, timing.now() - asked) });
    const answer = AnswerShape.safeParse(raw);
    if (!answer.success)
      throw new GridProblem({ code: 'INTERNAL', message: `The grid answered \`${event}\` in a form that this page does not know.` });
    if (!answer.data.ok)
      throw new GridProblem(asProblem(answer.data.error, { code: 'INTERNAL', message: `The grid refused \`${event}\` without a reason.` }));
    return answer.data.value;
  }

  /** The contract has no ping; leaving a room that nobody joined is its cheapest acknowledged request. */
  function probe(): void {
    if (probeEveryMs === 0) return;
    cancelProbe();
    cancelProbe = timing.after(probeEveryMs, () => {
      if (!socket.connected) return;
      void request('unwatch', { job: NO_JOB })
        .catch(() => {})
        .finally(probe);
    });
  }

  socket.on('connect', () => {
    connection.set({ phase: 'connected', lagMs: null });
    probe();
  });
  socket.on('disconnect', (reason) => {
    cancelProbe();
    connection.set({ phase: 'lost', since: timing.now() });
    // The grid ended the session itself (a restart, a revoked key): socket.io waits to be told to try again.
    if (reason === 'io server disconnect') socket.connect();
  });
  socket.on('connect_error', (error) => {
    // `active` means that socket.io goes on trying: the network failed. Otherwise the grid said no.
    if (socket.active) {
      if (connection.get().phase === 'connecting') connection.set({ phase: 'connecting', problem: UNREACHABLE });
      return;
    }
    const data: unknown = 'data' in error ? error.data : undefined;
    connection.set({ phase: 'refused', problem: asProblem(data, { code: 'UNAUTHENTICATED', message: error.message }) });
  });

  return {
    connection,
    request,
    on(event, receive) {
      socket.on(event, receive);
      return () => socket.off(event, receive);
    },
    close() {
      cancelProbe();
      socket.close();
    },
  };
}
