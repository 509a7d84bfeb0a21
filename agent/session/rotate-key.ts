import { existsSync, renameSync } from 'node:fs';
import path from 'node:path';

import { rotateBytes } from '#actors/contract/former-keys.ts';
import { GridError } from '#runtime/errors.ts';
import { loadOrCreateKey, type KeyPair } from '#runtime/identity/keys.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { Membership } from './enrol.ts';

const REPLY_LIMIT_MS = 15_000;
const NEXT = 'device-next';

export interface Rotation {
  /** Where the keys are. */
  readonly folder: string;
  readonly key: KeyPair;
  readonly membership: Membership;
  /** Votes that the old key has signed and the grid has not settled. */
  readonly unsettled: number;
  /** Begin one; one that was begun is ended in any case. */
  readonly wanted: boolean;
  readonly log: Log;
}

/**
 * Replaces the key of this machine; answers the key that it has from then on.
 *
 * The new key is on disk before the grid hears of it, and takes the place of the old one when the grid has it. A crash between the
 * two leaves both files: the next start asks again, which the grid answers the same way, whichever of the two keys it has.
 *
 * @throws GridError UNREACHABLE when no grid answers, CONFLICT when it does not want the new key
 */
export async function rotateKey({ folder, key, membership, unsettled, wanted, log }: Rotation): Promise<KeyPair> {
  const file = path.join(folder, `${NEXT}.key`);
  if (!wanted && !existsSync(file)) return key;
  if (unsettled > 0 && !existsSync(file)) {
    log.warn({ unsettled }, 'the key stays until the grid has settled the votes that it signed; start with --new-key again');
    return key;
  }
  const next = loadOrCreateKey(folder, NEXT);
  const { device } = membership;
  const statement = { device, from: key.publicKey, to: next.publicKey };
  const bytes = rotateBytes(statement);
  const sign = (by: KeyPair): string => Buffer.from(by.sign(bytes)).toString('hex');
  await ask(membership.url, { ...statement, leave: sign(key), enter: sign(next) });
  renameSync(file, path.join(folder, 'device.key'));
  log.info({ device }, 'this machine has a new key');
  return next;
}

async function ask(url: string, request: object): Promise<void> {
  const response = await fetch(new URL('/api/rotate', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(REPLY_LIMIT_MS),
  }).catch((cause: unknown) => {
    throw new GridError('UNREACHABLE', `no grid answers at ${url}`, { fix: 'start again when it does: the new key is kept', cause });
  });
  const answer = await response.text();
  if (response.ok) return;
  throw new GridError('CONFLICT', `the grid does not take the new key: ${answer}`, {
    fix: 'remove device-next.key from the state folder to stay with the old one',
  });
}
