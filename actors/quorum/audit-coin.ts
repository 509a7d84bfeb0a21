import { sha256 } from '#runtime/identity/digest.ts';

/** The share of believed results that a trusted device checks. */
export const AUDIT_SHARE = 0.02;

const BLOCK = 64;
const encoder = new TextEncoder();

/**
 * Decides which believed results a trusted device checks. Nobody can tell before, because the coin is made with the grid's
 * secret; it is thrown after the result was committed, and a coordinator that starts again throws the same.
 *
 * HMAC-SHA-256 (RFC 2104) over job and shard, with its two pads made once.
 */
export function auditCoin(secret: Uint8Array, share: number): (job: string, index: number) => boolean {
  const key = new Uint8Array(BLOCK);
  key.set(secret.length > BLOCK ? sha256(secret) : secret);
  const inner = key.map((byte) => byte ^ 0x36);
  const outer = key.map((byte) => byte ^ 0x5c);
  return (job, index) => {
    if (share <= 0) return false;
    const mac = sha256(Buffer.concat([outer, sha256(Buffer.concat([inner, encoder.encode(`audit ${job} ${index}`)]))]));
    return new DataView(mac.buffer, mac.byteOffset).getUint32(0) < share * 2 ** 32;
  };
}
