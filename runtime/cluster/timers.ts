import type { Cancellable, Host } from '#runtime/kernel/host.ts';

import type { DueTimer, EntityKey, TimerStore } from './cluster-store.ts';
import type { EntityHost } from './entity-host.ts';

/**
 * Fires durable timers of the partitions that this node owns. A timer is gone when its entity has handled it, so one whose
 * firing was cut short by a crash fires again, with the same version: at least once, and the entity can tell.
 */
export interface TimerRunner {
  of(key: EntityKey, epoch: number): EntityTimers;
  stop(): void;
}

/** Durable timers of one entity. */
export interface EntityTimers {
  /** Sets or replaces it. Null: another node owns the entity. */
  set(timer: string, inMs: number, payload: Uint8Array): Promise<number | null>;
  cancel(timer: string): Promise<boolean>;
}

/** What the ask `timerDue` of an entity carries. */
export interface TimerDue {
  readonly timer: string;
  readonly version: number;
  readonly payload: Uint8Array;
}

export interface TimerRunnerOptions {
  readonly host: Host;
  readonly store: TimerStore;
  readonly hosts: ReadonlyMap<string, EntityHost>;
  /** Partitions that this node owns and may use. */
  readonly owned: () => ReadonlyMap<number, number>;
  readonly onFailure: (error: unknown) => void;
  /** How late a timer may be. */
  readonly pollMs: number;
}

const BATCH = 256;
const HANDLE_MS = 30_000;

export function runTimers(options: TimerRunnerOptions): TimerRunner {
  const { host, store, hosts, owned, pollMs } = options;
  /** Being handled: not to be fired again by the next look. */
  const firing = new Set<string>();
  let stopped = false;
  let next: Cancellable = host.scheduler.after(pollMs, look);

  function look(): void {
    void fireDue()
      .catch(options.onFailure)
      .then((full) => {
        if (!stopped) next = host.scheduler.after(full === true ? 0 : pollMs, look);
      });
  }

  async function fireDue(): Promise<boolean> {
    const epochs = owned();
    if (epochs.size === 0) return false;
    const due = await store.due(epochs, BATCH + firing.size);
    const fresh = due.filter((timer) => !firing.has(keyOf(timer)));
    for (const timer of fresh) void fire(timer);
    return fresh.length >= BATCH;
  }

  async function fire(due: DueTimer): Promise<void> {
    const { entity, timer, version, payload } = due;
    firing.add(keyOf(due));
    try {
      await hosts.get(entity.kind)?.ask(entity.id, 'timerDue', { timer, version, payload } satisfies TimerDue, HANDLE_MS);
      await store.done(due);
    } catch (error) {
      options.onFailure(error);
    } finally {
      firing.delete(keyOf(due));
    }
  }

  return {
    of: (key, epoch) => ({
      set: (timer, inMs, payload) => store.set({ entity: key, timer, inMs, payload }, epoch),
      cancel: (timer) => store.cancel(key, timer, epoch),
    }),
    stop() {
      stopped = true;
      next.cancel();
    },
  };
}

function keyOf({ entity: { kind, id }, timer, version }: DueTimer): string {
  return JSON.stringify([kind, id, timer, version]);
}
