import { describe, expect, it } from 'vitest';

import type { Services } from '#actors/services.ts';
import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import { tenantActor } from '#actors/tenant/tenant.actor.ts';
import type { TenantRef } from '#actors/tenant/tenant.protocol.ts';
import { withSystem } from '#tests/support/actors.ts';

const ASK = { timeoutMs: 1_000 };

/** The actor on a store whose database can be taken away. */
async function scene(play: (tenants: TenantRef, database: { away: boolean }) => Promise<void>): Promise<void> {
  await withSystem(async ({ system }) => {
    const database = { away: false };
    const store = new Proxy(createMemoryStore(), {
      get(target, name, receiver) {
        const verb: unknown = Reflect.get(target, name, receiver);
        if (typeof verb !== 'function') return verb;
        return async (...args: unknown[]): Promise<unknown> => {
          if (database.away) throw Object.assign(new Error('the database system is starting up'), { code: '57P03' });
          return Reflect.apply(verb, target, args);
        };
      },
    });
    const tenants = system.spawn({
      id: 'tenants',
      actor: tenantActor,
      restart: 'permanent',
      // This actor asks nothing else of its services.
      args: { services: { store } as unknown as Services, randomBytes: (length) => new Uint8Array(length).fill(7) },
    });
    await play(tenants, database);
    expect(system.inspect().children).toMatchObject([{ path: '/tenants', restarts: 0 }]);
  });
}

describe('the tenants while the database is away', () => {
  it('refuse every ask with a way out, and live on', async () => {
    await scene(async (tenants, database) => {
      const { key } = await tenants.createKey({ tenant: 'a', name: 'ann', role: 'submitter' }, ASK);
      database.away = true;
      const about = { tenant: 'a', name: 'bob', role: 'submitter' } as const;
      for (let times = 0; times < 20; times++) {
        const answers = await Promise.allSettled([
          tenants.authenticate(key, ASK),
          tenants.createKey(about, ASK),
          tenants.listKeys(undefined, ASK),
          tenants.revokeKey('0'.repeat(16), ASK),
          tenants.createToken({ name: 'm', uses: 1, ttlSeconds: 60, trusted: false }, ASK),
        ]);
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'DATABASE', fix: 'try again in a moment' } });
        }
      }
      database.away = false;
      expect(await tenants.authenticate(key, ASK)).toMatchObject({ name: 'ann' });
      expect(await tenants.listKeys(undefined, ASK), 'nothing half-done stays').toHaveLength(1);
    });
  });
});
