import type { Host } from '#runtime/kernel/host.ts';
import type { Presence, PresenceEntry, PresenceRenewal } from '#runtime/presence/presence.ts';

/** As Redis is asked: own entries at once when they are due, those of others when nobody took them. */
const POLL_MS = 200;
const PATIENCE_MS = 1_000;
const GRACE_MS = 5_000;

interface Entry extends PresenceRenewal {
  readonly owner: string;
  readonly deadline: number;
}

/** The memory that all coordinators share, as Redis is; it can be lost. */
export class SimulatedPresence {
  readonly entries = new Map<string, Entry>();
  /** Changes with each loss. */
  marker = 0;

  wipe(): void {
    this.entries.clear();
    this.marker += 1;
  }
}

export interface PresenceClient {
  readonly shared: SimulatedPresence;
  /** Of the process that asks. */
  readonly host: Host;
  readonly name: string;
  /** What the database believes to be there: asked when the memory is found lost, and at first. */
  readonly known: () => Promise<readonly PresenceRenewal[]>;
}

/** One coordinator's view of the shared presence, with the copy of its own entries by which a loss is mended. */
export function simulatedPresence({ shared, host, name, known }: PresenceClient): Presence {
  const own = new Map<string, PresenceRenewal>();
  let listener: ((due: readonly PresenceEntry[]) => void) | null = null;
  let marker = -1;
  let takeOthersFrom = 0;
  let closed = false;

  function keep(owner: string, { id, token, ttlMs }: PresenceRenewal): void {
    shared.entries.set(id, { id, token, ttlMs, owner, deadline: host.clock.now() + ttlMs });
  }

  /** After a loss everybody brings back his own, and the sessions of those who are gone. */
  async function catchUp(): Promise<void> {
    marker = shared.marker;
    takeOthersFrom = host.clock.now() + GRACE_MS;
    for (const entry of own.values()) keep(name, entry);
    for (const entry of await known()) if (!shared.entries.has(entry.id)) keep('', entry);
  }

  function poll(): void {
    if (closed) return;
    // The database may be away: the next poll tries again.
    if (marker !== shared.marker) catchUp().catch(() => (marker = -1));
    else if (listener !== null) {
      const now = host.clock.now();
      const due = [...shared.entries.values()].filter(({ owner, deadline }) =>
        owner === name ? deadline <= now : now >= takeOthersFrom && deadline + PATIENCE_MS <= now,
      );
      for (const { id } of due) {
        shared.entries.delete(id);
        own.delete(id);
      }
      if (due.length > 0) listener(due);
    }
    host.scheduler.after(POLL_MS, poll);
  }
  host.scheduler.after(POLL_MS, poll);

  return {
    async set(id, token, ttlMs) {
      own.set(id, { id, token, ttlMs });
      keep(name, { id, token, ttlMs });
    },
    async renew(entries) {
      return entries.map((entry) => {
        const mine = own.get(entry.id)?.token === entry.token;
        if (mine && shared.entries.get(entry.id)?.owner === name) {
          own.set(entry.id, entry);
          keep(name, entry);
        }
        return mine;
      });
    },
    async remove(id, token) {
      const mine = own.get(id)?.token === token;
      if (!mine) return false;
      own.delete(id);
      if (shared.entries.get(id)?.owner === name) shared.entries.delete(id);
      return true;
    },
    onDue(callback) {
      listener = callback;
    },
    close() {
      closed = true;
    },
  };
}
