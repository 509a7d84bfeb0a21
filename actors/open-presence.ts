import { randomUUID } from 'node:crypto';

import { IDLE_LEASE_MS } from '#actors/device/device.state.ts';
import type { Store } from '#actors/store/store.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Log } from '#runtime/observe/log.ts';
import { createInProcessPresence } from '#runtime/presence/in-process-presence.ts';
import type { Presence, PresenceRenewal } from '#runtime/presence/presence.ts';
import { connectRedis } from '#runtime/presence/redis-connection.ts';
import { openRedisPresence } from '#runtime/presence/redis-presence.ts';

export interface PresenceChoice {
  /** Undefined: in this process, which is enough for one coordinator. */
  readonly redisUrl: string | undefined;
  readonly store: Store;
  readonly host: Host;
  readonly log: Log;
  /** Names this run of this coordinator. */
  readonly coordinator: string;
}

/** The presence of this coordinator's devices, with every session that the store believes to be there. @throws GridError for REDIS_URL */
export async function openPresence({ redisUrl, store, host, log, coordinator }: PresenceChoice): Promise<Presence> {
  /** A device may have been silent while nobody listened: it gets the longest lease there is to be heard again. */
  async function known(): Promise<readonly PresenceRenewal[]> {
    const devices = await store.listDevices();
    return devices
      .filter(({ state }) => state === 'present' || state === 'draining')
      .map(({ id, sessionEpoch }) => ({ id, token: String(sessionEpoch), ttlMs: IDLE_LEASE_MS }));
  }

  if (redisUrl !== undefined) {
    return openRedisPresence({ client: await connectRedis(redisUrl), host, log, coordinator, randomId: randomUUID, known });
  }
  const presence = createInProcessPresence(host);
  for (const { id, token, ttlMs } of await known()) await presence.set(id, token, ttlMs);
  return presence;
}
