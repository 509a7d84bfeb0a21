/** What goes between an actor on a thread and its stand-in. All of it is cloned: neither functions nor refs can be part of it. */

/** A message: the index of its kind, its question (0 for a tell), its payload, and how long the asker waits. */
export type Letter = readonly [kind: number, question: number, payload: unknown, timeoutMs: number];

export type Answer =
  | { readonly question: number; readonly ok: true; readonly value: unknown }
  | { readonly question: number; readonly ok: false; readonly refusal: PlainRefusal };

/** A `Refusal` without its class. */
export interface PlainRefusal {
  readonly code: string;
  readonly message: string;
  readonly path?: string;
  readonly fix?: string;
}

export type ToThread = { readonly type: 'letters'; readonly letters: readonly Letter[] } | { readonly type: 'stop' };

export type FromThread =
  | { readonly type: 'up' }
  /** So many letters have come in all, so many of them and of its own messages wait now. */
  | { readonly type: 'news'; readonly received: number; readonly waiting: number; readonly answers: readonly Answer[] }
  | { readonly type: 'down'; readonly reason: 'stopped' | 'crashed'; readonly error?: unknown };

/** What a thread is started with: the definition is the export `name` of the module. */
export interface Placement {
  readonly module: string;
  readonly name: string;
  readonly args: unknown;
}

/** So many letters may be on their way to a thread or wait there. */
export const WINDOW = 256;
