import { z } from 'zod';

/** Small shapes that every schema of the contract is made of. All sizes are bytes, all times milliseconds since 1970. */

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits of a SHA-256');
export const PublicKey = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits of an Ed25519 public key');
export const Signature = z.string().regex(/^[0-9a-f]{128}$/, 'expected 128 lower-case hex digits of an Ed25519 signature');
export const JobId = z.uuid();
export const DeviceId = z.string().regex(/^dev-[0-9a-z]{10}$/, 'expected a device id like dev-0k3v9t2m1x');
export const Label = z.string().min(1).max(120);

export const MIB = 1024 * 1024;
/** Bodies up to this size travel inside messages and live in the vote's row; larger ones go through the object store. */
export const INLINE_LIMIT = 4096;
/** No object is larger. */
export const OBJECT_LIMIT = 4096 * MIB;
/** No model file is larger. */
export const MODEL_LIMIT = 1024 * 1024 * MIB;
export const MAX_SHARDS = 1_000_000;
export const MAX_INLINE_SHARDS = 20_000;

/** Raw bytes, as the link's codec and socket.io carry them. */
export const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes');

/** A stored object: its hash is its name. */
export const ObjectRef = z.strictObject({ sha256: Sha256, size: z.number().int().min(0).max(OBJECT_LIMIT) });
export type ObjectRef = z.infer<typeof ObjectRef>;

/** A request that somebody signed for us: no key and no SDK needed to carry it out. */
export const SignedRequest = z.strictObject({
  method: z.enum(['GET', 'PUT']),
  url: z.string().max(4096),
  headers: z.record(z.string(), z.string()),
});
export type SignedRequest = z.infer<typeof SignedRequest>;

/** Bytes on their way to somebody: inside the message when small, else by a signed request. */
export const Body = z.strictObject({
  sha256: Sha256,
  size: z.number().int().min(0).max(OBJECT_LIMIT),
  bytes: Bytes.optional(),
  get: SignedRequest.optional(),
});
export type Body = z.infer<typeof Body>;

/** The fence of one attempt: the partition's epoch when it was leased, and a number that is never given twice. */
export const Fence = z.strictObject({ epoch: z.number().int().nonnegative(), seq: z.number().int().positive() });
export type Fence = z.infer<typeof Fence>;

export function fenceText(fence: Fence): string {
  return `${fence.epoch}.${fence.seq}`;
}
