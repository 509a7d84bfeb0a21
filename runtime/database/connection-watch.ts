import type { Host } from '#runtime/kernel/host.ts';
import { type Backoff, backoffMs } from './backoff.ts';
import type { SqlClient } from './sql-client.ts';

/**
 * Notices when the database goes away and when it is back, by one idle connection of its own.
 *
 * States: `connected` → (the connection ends) → `lost` → (a new connection passes the check) → `connected`; `closed` ends
 * both. Nothing is persisted. A crash of one backend makes PostgreSQL drop all connections, so it shows here as well,
 * although the server's main process lives on.
 */
export interface ConnectionWatch {
  /** Runs `callback` each time the database is lost. Answers an undo. */
  onLost(callback: () => void): () => void;
  /** Runs `callback` each time the database is back. Answers an undo. */
  onBack(callback: () => void): () => void;
  unref(): void;
  close(): Promise<void>;
}

interface WatchOptions {
  readonly host: Host;
  /** An open connection to the database, checked. */
  readonly first: SqlClient;
  /** Opens another one; rejects while the database is away or is not the right one. */
  readonly connect: () => Promise<SqlClient>;
  readonly backoff?: Backoff;
}

const BACKOFF: Backoff = { minMs: 50, maxMs: 1_000, jitter: 0.2 };

export function watchConnection({ host, first, connect, backoff = BACKOFF }: WatchOptions): ConnectionWatch {
  const lost = new Set<() => void>();
  const back = new Set<() => void>();
  let client: SqlClient | undefined;
  let wait: { cancel(): void } | undefined;
  let connecting: Promise<void> = Promise.resolve();
  let closed = false;
  let referenced = true;

  const follow = (next: SqlClient): void => {
    client = next;
    if (!referenced) next.unref();
    next.onEnd(() => {
      if (closed || client !== next) return;
      client = undefined;
      void next.close();
      for (const callback of lost) callback();
      retry(1);
    });
  };
  const retry = (failures: number): void => {
    wait = host.scheduler.after(backoffMs(backoff, failures, host.random()), () => {
      connecting = connect().then(arrived, () => {
        if (!closed) retry(failures + 1);
      });
    });
  };
  const arrived = async (next: SqlClient): Promise<void> => {
    if (closed) return next.close();
    follow(next);
    for (const callback of back) callback();
  };

  follow(first);
  return {
    onLost: (callback) => subscribe(lost, callback),
    onBack: (callback) => subscribe(back, callback),
    unref() {
      referenced = false;
      client?.unref();
    },
    async close() {
      closed = true;
      wait?.cancel();
      await connecting;
      await client?.close();
    },
  };
}

function subscribe(callbacks: Set<() => void>, callback: () => void): () => void {
  const own = (): void => callback();
  callbacks.add(own);
  return () => void callbacks.delete(own);
}
