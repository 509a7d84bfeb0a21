import type { Cancellable, Host } from '#runtime/kernel/host.ts';

import type { Presence, PresenceEntry } from './presence.ts';

/**
 * Presence for one coordinator: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6) whose entries are put right lazily.
 *
 * Time is cut into ticks; bucket `tick mod slots` holds the entries to look at in that tick. A renewal only writes down the new
 * deadline: when the hand reaches the entry's old bucket and finds the deadline in the future, it moves the entry on. So a
 * renewal costs a map look-up, and ten thousand devices that beat every second cost nothing to speak of. The hand rests while
 * there is nothing to wait for.
 */

export interface InProcessPresenceOptions {
  /** How far apart the hand's steps are, and so how late a wake-up may be. */
  readonly tickMs?: number;
  readonly slots?: number;
  /**
   * When the hand comes this much too late, the process stood still (or the machine slept), and the beats of that time still
   * wait in its sockets: every deadline moves by the lost time, lest all devices be given up at once.
   */
  readonly stallMs?: number;
}

interface Entry extends PresenceEntry {
  token: string;
  deadline: number;
  bucket: Set<Entry>;
}

export function createInProcessPresence(
  host: Host,
  { tickMs = 50, slots = 1024, stallMs = 1000 }: InProcessPresenceOptions = {},
): Presence {
  const { clock, scheduler } = host;
  const buckets = Array.from({ length: slots }, () => new Set<Entry>());
  const entries = new Map<string, Entry>();
  let due: PresenceEntry[] = [];
  let listener: ((due: readonly PresenceEntry[]) => void) | null = null;
  let hand = 0;
  let timer: Cancellable | null = null;
  let closed = false;

  const tickOf = (time: number): number => Math.floor(time / tickMs);

  function bucketFor(deadline: number): Set<Entry> {
    // Never the hand's own bucket, which was looked at; never a full turn ahead, which would be that bucket again.
    const tick = Math.min(Math.max(Math.ceil(deadline / tickMs), hand + 1), hand + slots - 1);
    // The remainder is below the number of buckets, so there is one.
    return buckets[tick % slots] as Set<Entry>;
  }

  function place(entry: Entry): void {
    entry.bucket.delete(entry);
    entry.bucket = bucketFor(entry.deadline);
    entry.bucket.add(entry);
  }

  function wind(): void {
    if (closed || timer !== null || entries.size + (listener === null ? 0 : due.length) === 0) return;
    const at = (tickOf(clock.now()) + 1) * tickMs;
    timer = scheduler.after(at - clock.now(), () => step(at));
  }

  function step(planned: number): void {
    timer = null;
    const lost = clock.now() - planned;
    if (lost >= stallMs) for (const entry of entries.values()) entry.deadline += lost;
    turnHand();
    const batch = due;
    const deliver = listener;
    if (deliver !== null) due = [];
    // Before the listener runs: whatever it does or throws, the hand goes on.
    wind();
    if (deliver !== null && batch.length > 0) deliver(batch);
  }

  function turnHand(): void {
    const now = clock.now();
    const target = tickOf(now);
    // After a rest or a long stop one full turn looks at every entry there is.
    hand = Math.max(hand, target - slots);
    while (hand < target) {
      hand++;
      const bucket = buckets[hand % slots] as Set<Entry>;
      for (const entry of bucket) {
        if (entry.deadline > now) {
          place(entry);
          continue;
        }
        bucket.delete(entry);
        entries.delete(entry.id);
        due.push({ id: entry.id, token: entry.token });
      }
    }
  }

  /** The entry, when this token is the one that holds it. */
  function held({ id, token }: PresenceEntry): Entry | undefined {
    const entry = entries.get(id);
    return entry?.token === token ? entry : undefined;
  }

  function begin(id: string, token: string, deadline: number): void {
    const present = entries.get(id);
    const entry = present ?? { id, token, deadline, bucket: bucketFor(deadline) };
    entry.token = token;
    entry.deadline = deadline;
    entries.set(id, entry);
    place(entry);
    wind();
  }

  /** Nothing to wait for: no timer keeps the process awake. */
  function rest(): void {
    timer?.cancel();
    timer = null;
  }

  return {
    async set(id, token, ttlMs) {
      if (closed) throw new Error('this presence is closed');
      begin(id, token, clock.now() + checkedTtl(ttlMs));
    },

    async renew(renewals) {
      for (const { ttlMs } of renewals) checkedTtl(ttlMs);
      return renewals.map((renewal) => {
        const entry = held(renewal);
        if (entry === undefined) return false;
        const deadline = clock.now() + renewal.ttlMs;
        const sooner = deadline < entry.deadline;
        entry.deadline = deadline;
        // The hand puts right what it finds too early; what ends sooner than before has to be moved now.
        if (sooner) place(entry);
        return true;
      });
    },

    async remove(id, token) {
      const entry = held({ id, token });
      if (entry === undefined) return false;
      entry.bucket.delete(entry);
      entries.delete(id);
      if (entries.size === 0 && due.length === 0) rest();
      return true;
    },

    onDue(callback) {
      if (listener !== null) throw new Error('this presence has a listener already');
      listener = callback;
      wind();
    },

    close() {
      closed = true;
      rest();
      entries.clear();
      for (const bucket of buckets) bucket.clear();
      due = [];
    },
  };
}

/** Answers it, so that a wrong one changes nothing. */
function checkedTtl(ttlMs: number): number {
  if (!Number.isFinite(ttlMs) || ttlMs <= 0) throw new RangeError(`a time to live is a positive number of milliseconds, not ${ttlMs}`);
  return ttlMs;
}
