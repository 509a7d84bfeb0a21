import type { ApiKeyRow } from '#actors/store/store.ts';
import { ask, protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** Who asks: the answer of every door's first question. */
export interface Principal {
  readonly keyId: string;
  readonly tenant: string;
  readonly name: string;
  readonly role: 'admin' | 'submitter';
}

export const TenantProtocol = protocol('tenant', {
  /** Null when the key is unknown or revoked. */
  authenticate: ask<string, Principal | null>(),
  /** The new key itself is answered once and stored only as a hash. */
  createKey: ask<{ tenant: string; name: string; role: 'admin' | 'submitter' }, { key: string; row: ApiKeyRow }>(),
  listKeys: ask<void, readonly ApiKeyRow[]>(),
  revokeKey: ask<string, boolean>(),
  /** Devices of one owner are one voice; trusted ones decide. */
  createToken: ask<
    { name: string; uses: number; ttlSeconds: number; owner?: string; trusted?: boolean },
    { token: string; expiresAt: number }
  >(),
});
export type TenantRef = Ref<typeof TenantProtocol>;
