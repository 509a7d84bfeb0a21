import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import { DeviceId, PublicKey, Signature } from './primitives.ts';

/**
 * Keys that are no device's key any more, as the grid signs them. When a key ended is said by the log of manifests: `until` is how many
 * jobs were sealed by then. A receipt below that position was sealed while the key was good, and stays good for ever. At or above
 * it, votes of a `rotated` key are old votes of an honest device and still count; those of a `revoked` one do not.
 */
export const FormerKey = z.strictObject({
  device: DeviceId,
  publicKey: PublicKey,
  reason: z.enum(['rotated', 'revoked']),
  until: z.number().int().nonnegative(),
  /** Milliseconds since 1970. */
  at: z.number().int().nonnegative(),
});
export type FormerKey = z.infer<typeof FormerKey>;

export const KeyList = z.strictObject({
  version: z.literal(1),
  gridKey: PublicKey,
  at: z.number().int().nonnegative(),
  /** In the order in which they ended. */
  keys: z.array(FormerKey).max(1_000_000),
});
export type KeyList = z.infer<typeof KeyList>;
export const SignedKeyList = z.strictObject({ list: KeyList, signature: Signature });
export type SignedKeyList = z.infer<typeof SignedKeyList>;

/** The bytes that the grid's signature covers. */
export function keyListBytes(list: KeyList): Uint8Array {
  return new TextEncoder().encode(`corpgrid.keys.v1\0${canonicalJson(list)}`);
}

/** A machine asks for its key to be replaced; signed by both, so that neither can be put in without its holder. */
export const RotateRequest = z.strictObject({
  device: DeviceId,
  from: PublicKey,
  to: PublicKey,
  /** By `from`. */
  leave: Signature,
  /** By `to`. */
  enter: Signature,
});
export type RotateRequest = z.infer<typeof RotateRequest>;

/** What both keys sign. It names the old key: once that is replaced, the request is worth nothing. */
export function rotateBytes({ device, from, to }: Pick<RotateRequest, 'device' | 'from' | 'to'>): Uint8Array {
  return new TextEncoder().encode(`corpgrid.rotate.v1\0${JSON.stringify([device, from, to])}`);
}
