import type { Services } from '#actors/services.ts';
import { refuseWhileAway } from '#runtime/database/connection-errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { makeApiKey, makeEnrolmentToken, parseApiKey, secretHash } from './key.ts';
import { TenantProtocol, type Principal } from './tenant.protocol.ts';

/** A key is looked up in the database again after this long, so revoking takes effect within it on every coordinator. */
const CACHE_MS = 5_000;
/** Keys remembered at most; hostile guesses must not fill the memory. */
const CACHE_SIZE = 10_000;

export interface TenantArgs {
  readonly services: Services;
  readonly randomBytes: (length: number) => Uint8Array;
}

export const tenantActor = defineActor({
  protocol: TenantProtocol,
  mailbox: { capacity: 16_384 },
  start(context, { services, randomBytes }: TenantArgs) {
    const { store } = services;
    const cache = new Map<string, { principal: Principal; until: number }>();

    /** Hashes of keys that were shown lately: a busy client shows the same one with each request. */
    const hashes = new Map<string, string>();

    function hashOf(key: string): string {
      const known = hashes.get(key);
      if (known !== undefined) return known;
      const hash = secretHash(key, sha256);
      if (hashes.size >= CACHE_SIZE) hashes.clear();
      hashes.set(key, hash);
      return hash;
    }

    async function lookUp(hash: string): Promise<Principal | null> {
      const known = cache.get(hash);
      if (known !== undefined && known.until > context.clock.now()) return known.principal;
      const row = await refuseWhileAway(() => store.findApiKey(hash));
      if (row === null || row.revokedAt !== null) {
        cache.delete(hash);
        return null;
      }
      const principal: Principal = { keyId: row.id, tenant: row.tenant, name: row.name, role: row.role };
      if (cache.size >= CACHE_SIZE) cache.clear();
      cache.set(hash, { principal, until: context.clock.now() + CACHE_MS });
      return principal;
    }

    return {
      authenticate(key) {
        // What does not even look like a key costs no query.
        if (!hashes.has(key) && parseApiKey(key) === null) return null;
        return lookUp(hashOf(key));
      },
      async createKey({ tenant, name, role }) {
        const { id, key, hash } = makeApiKey(randomBytes, sha256);
        const row = { id, tenant, name, role, createdAt: context.clock.wall(), revokedAt: null };
        await refuseWhileAway(() => store.createApiKey(row, hash));
        return { key, row };
      },
      listKeys() {
        return refuseWhileAway(() => store.listApiKeys());
      },
      async revokeKey(id) {
        const revoked = await refuseWhileAway(() => store.revokeApiKey(id, context.clock.wall()));
        cache.clear();
        return revoked;
      },
      async createToken({ ttlSeconds, ...about }) {
        const { token, hash } = makeEnrolmentToken(randomBytes, sha256);
        const createdAt = context.clock.wall();
        const expiresAt = createdAt + ttlSeconds * 1_000;
        await refuseWhileAway(() => store.createEnrolmentToken({ ...about, hash, expiresAt, createdAt }));
        return { token, expiresAt };
      },
    };
  },
});
