import type { Redis } from 'ioredis';

import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { Presence, PresenceEntry, PresenceRenewal } from './presence.ts';
import { FORGOTTEN, presenceScripts, SERVER_TIME } from './redis-scripts.ts';

/**
 * Presence for several coordinators: the entries lie in a sorted set of a Redis that all of them share, and each coordinator
 * asks a few times per second for what is due. Never by keyspace notifications: those come seconds late, and not all of them.
 *
 * A coordinator is handed its own entries at once. Entries of another one it is handed when they have been due for a while:
 * then that one is dead or stands still. What was handed over and not confirmed is handed to somebody again.
 *
 * Redis forgets: it is restarted without its memory, flushed, or replaced by a replica that never heard of us. So each
 * coordinator keeps a copy of its own entries, and Redis a marker with a random name.
 *
 *   in step   the marker is ours and the connection stands: Redis decides what is due
 *   away      no connection: the copy decides, with one grace more, since others may see what we do not
 *   behind    connected again, or woken from a stall, or the marker is another: first the copy is brought back with its full
 *             time to live, so that nothing expires for having been unheard; after a loss of memory also what `known` says, for
 *             sessions whose coordinator is gone as well. Then in step. For one grace nobody else's entries are taken
 */

export interface RedisPresenceOptions {
  /** From `connectRedis`. It belongs to the presence from now on, and ends with it. */
  readonly client: Redis;
  readonly host: Host;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** Names this run of this coordinator. */
  readonly coordinator: string;
  readonly randomId: () => string;
  /** All entries that should exist, each with a time to live that serves as grace: asked for when Redis lost its memory. */
  readonly known: () => Promise<readonly PresenceRenewal[]>;
  /** How often Redis is asked, and so how late a wake-up may be. */
  readonly pollMs?: number;
  /** How long an entry must have been due before another coordinator than its own is handed it. */
  readonly patienceMs?: number;
  /** How long a coordinator may take with what it was handed before somebody else is. */
  readonly holdMs?: number;
  /** For how long after a loss entries of others are left alone. */
  readonly graceMs?: number;
  /** A poll this much too late means that the process stood still. */
  readonly stallMs?: number;
  /** Lua expression for the time in Redis, in ms: the server's clock unless told otherwise. */
  readonly time?: string;
}

interface Entry {
  token: string;
  ttlMs: number;
  /** By our own clock. */
  deadline: number;
}

/** Entries in one call of a script: Redis serves nobody else meanwhile. */
const BATCH = 500;

/** Resolves when the presence is in step with Redis for the first time. @throws when Redis refuses or is lost meanwhile */
export async function openRedisPresence(options: RedisPresenceOptions): Promise<Presence> {
  const { client, host, log, coordinator, randomId, known } = options;
  const { pollMs = 50, patienceMs = 1_000, holdMs = 5_000, graceMs = 5_000, stallMs = 1_000, time = SERVER_TIME } = options;
  const { clock, scheduler } = host;
  const redis = presenceScripts(client, time);

  const own = new Map<string, Entry>();
  /** Ended while Redis was away: it still has them. */
  const ended = new Map<string, string>();
  let marker = '';
  let standing: 'in step' | 'behind' | 'away' = 'behind';
  let mustRebuild = false;
  let takeOthersFrom = 0;
  let listener: ((due: readonly PresenceEntry[]) => void) | null = null;
  let timer: Cancellable | null = null;
  let closed = false;

  client.on('close', () => {
    if (standing !== 'away' && !closed) log.warn({}, 'Redis is lost; presence goes on from memory');
    standing = 'away';
  });
  client.on('ready', () => {
    standing = 'behind';
  });

  /** Answers null when Redis could not say: the copy holds until it can. */
  async function ask(command: () => Promise<unknown>): Promise<unknown> {
    if (standing === 'away') return null;
    try {
      return await command();
    } catch (error) {
      failed(error);
      return null;
    }
  }

  function failed(error: unknown): void {
    if (closed) return;
    const message = error instanceof Error ? error.message : String(error);
    if (message.includes(FORGOTTEN)) {
      log.warn({}, 'Redis lost its memory; presence is built anew');
      standing = 'behind';
      mustRebuild = true;
      return;
    }
    // Not the error itself: the driver puts the arguments of the command into it.
    if (client.status === 'ready') {
      log.error({ reason: message }, 'Redis refused or did not answer');
      standing = 'behind';
    }
  }

  /** Takes what is behind back into step. May fail half-way; then it is done again from the start. */
  async function catchUp(): Promise<void> {
    takeOthersFrom = clock.now() + graceMs;
    const found = String(await redis.adopt(randomId()));
    if (found !== marker) mustRebuild = true;
    marker = found;
    for (const [id, token] of ended) {
      await redis.remove(marker, coordinator, id, token);
      ended.delete(id);
    }
    await restore(coordinator, [...own.keys()], (id) => own.get(id));
    if (mustRebuild) {
      const all = new Map((await known()).map((entry) => [entry.id, entry]));
      for (const id of own.keys()) all.delete(id);
      // Nobody's, so that whoever looks first is handed them when their grace is over.
      await restore('', [...all.keys()], (id) => all.get(id));
      mustRebuild = false;
    }
    // A connection that was lost meanwhile begins again.
    if (standing === 'behind') standing = 'in step';
  }

  async function restore(
    owner: string,
    ids: readonly string[],
    find: (id: string) => Omit<PresenceRenewal, 'id'> | undefined,
  ): Promise<void> {
    for (let i = 0; i < ids.length; i += BATCH) {
      // Looked up when it is sent: what was removed or replaced since stays as it is.
      const batch = ids.slice(i, i + BATCH).flatMap((id) => {
        const entry = find(id);
        return entry === undefined ? [] : [{ id, token: entry.token, ttlMs: entry.ttlMs }];
      });
      if (batch.length === 0) continue;
      const kept = (await redis.restore(marker, owner, ...batch.flatMap(({ id, token, ttlMs }) => [id, token, ttlMs]))) as number[];
      for (const [at, { id, token }] of batch.entries()) if (owner !== '' && kept[at] === 0) drop(id, token);
    }
  }

  function drop(id: string, token: string): boolean {
    return own.get(id)?.token === token && own.delete(id);
  }

  async function poll(): Promise<void> {
    if (listener === null) return;
    // Far beyond any time to live: nobody else's.
    const patience = clock.now() < takeOthersFrom ? Number.MAX_SAFE_INTEGER : patienceMs;
    const flat = (await redis.take(marker, coordinator, BATCH, patience, holdMs)) as string[];
    const due: PresenceEntry[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) due.push({ id: String(flat[i]), token: String(flat[i + 1]) });
    if (due.length === 0 || closed) return;
    for (const { id, token } of due) drop(id, token);
    hand(due);
    await redis.done(marker, coordinator, ...due.flatMap(({ id, token }) => [id, token]));
  }

  /** While there is no Redis: what has been silent for its time and one grace more. */
  function lookInMemory(): void {
    const late = clock.now() - graceMs;
    const due: PresenceEntry[] = [];
    for (const [id, { token, deadline }] of own) if (deadline <= late) due.push({ id, token });
    if (due.length === 0 || listener === null) return;
    for (const { id, token } of due) {
      own.delete(id);
      ended.set(id, token);
    }
    hand(due);
  }

  function hand(due: readonly PresenceEntry[]): void {
    try {
      listener?.(due);
    } catch (error) {
      log.error({ error }, 'the listener of presence failed');
    }
  }

  async function step(planned: number): Promise<void> {
    const lost = clock.now() - planned;
    if (lost >= stallMs) {
      for (const entry of own.values()) entry.deadline += lost;
      if (standing === 'in step') standing = 'behind';
    }
    try {
      if (standing === 'away') return lookInMemory();
      if (standing === 'behind') {
        await catchUp();
        log.info({ entries: own.size }, 'presence is in step with Redis');
      }
      await poll();
    } catch (error) {
      failed(error);
    }
  }

  function wind(): void {
    if (closed) return;
    const planned = clock.now() + pollMs;
    timer = scheduler.after(pollMs, () => {
      timer = null;
      void step(planned).then(wind);
    });
  }

  try {
    await catchUp();
  } catch (error) {
    client.disconnect();
    throw error;
  }
  wind();

  return {
    async set(id, token, ttlMs) {
      if (closed) throw new Error('this presence is closed');
      own.set(id, { token, ttlMs: checkedTtl(ttlMs), deadline: clock.now() + ttlMs });
      ended.delete(id);
      await ask(() => redis.set(marker, coordinator, id, token, ttlMs));
    },

    async renew(renewals) {
      for (const { ttlMs } of renewals) checkedTtl(ttlMs);
      if (renewals.length === 0) return [];
      // While the copy is being brought back, Redis does not know yet what it holds.
      const asks = standing === 'in step' && !closed;
      const answer = asks ? await ask(() => redis.renew(marker, coordinator, ...renewals.flatMap((r) => [r.id, r.token, r.ttlMs]))) : null;
      return renewals.map(({ id, token, ttlMs }, at) => {
        const held = Array.isArray(answer) ? answer[at] === 1 : own.get(id)?.token === token;
        if (held && !closed) own.set(id, { token, ttlMs, deadline: clock.now() + ttlMs });
        else drop(id, token);
        return held && !closed;
      });
    },

    async remove(id, token) {
      if (closed) return false;
      const held = drop(id, token);
      const inStep = standing === 'in step';
      const answer = await ask(() => redis.remove(marker, coordinator, id, token));
      if (answer === null && held) ended.set(id, token);
      return answer === 1 || (held && (answer === null || !inStep));
    },

    onDue(callback) {
      if (listener !== null) throw new Error('this presence has a listener already');
      listener = callback;
    },

    close() {
      closed = true;
      timer?.cancel();
      timer = null;
      own.clear();
      ended.clear();
      client.disconnect();
    },
  };
}

/** Answers it, so that a wrong one changes nothing. */
function checkedTtl(ttlMs: number): number {
  if (!Number.isFinite(ttlMs) || ttlMs <= 0) throw new RangeError(`a time to live is a positive number of milliseconds, not ${ttlMs}`);
  return ttlMs;
}
