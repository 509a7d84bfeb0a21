/**
 * Which version of the wire two ends speak: the highest that both know. One release back is always among them, so that agents
 * and coordinators can be upgraded one after the other.
 *
 * - 1: one lane, no credit beyond the acknowledgement, large messages block what follows.
 * - 2: two lanes, credit by consumption, large bodies in pieces that a resume goes on with.
 *
 * A peer of version 1 takes no challenge that it does not know by heart, so the server's range has to hide in the only field
 * that is free: the last eight bytes of the nonce, as TLS 1.3 tells of its presence (RFC 8446 section 4.1.3). They are covered
 * by both signatures, so nobody on the way can talk two newer ends into an older version.
 */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

export const VERSIONS: VersionRange = { min: 1, max: 2 };

/** What a server without a mark in its nonce speaks. */
export const FIRST_VERSION = 1;

const MARK = Buffer.from('CGLINK');
const MARKED_BYTES = MARK.length + 2;

/** The highest version that both know; undefined when there is none. */
export function commonVersion(one: VersionRange, other: VersionRange): number | undefined {
  const highest = Math.min(one.max, other.max);
  return highest >= Math.max(one.min, other.min) ? highest : undefined;
}

/** The server's nonce: unpredictable bytes, then what it speaks. */
export function markNonce(nonce: Uint8Array, { min, max }: VersionRange): Uint8Array {
  return Buffer.concat([nonce.subarray(0, nonce.length - MARKED_BYTES), MARK, Uint8Array.of(min, max)]);
}

/** What the server of this challenge speaks. One of version 1 marks nothing; it hits the mark by chance once in 2^48 times. */
export function rangeOf(challenge: { readonly protocol: number; readonly nonce: Uint8Array }): VersionRange {
  const tail = challenge.nonce.subarray(-MARKED_BYTES);
  const [min = 0, max = 0] = tail.subarray(MARK.length);
  if (MARK.equals(tail.subarray(0, MARK.length)) && min === challenge.protocol && min <= max) return { min, max };
  return { min: challenge.protocol, max: challenge.protocol };
}

/** For the refusal: both ranges, so that the reader knows which end to update. At most 64 characters. */
export function noCommonVersion(server: VersionRange, client: VersionRange): `version: ${string}` {
  return `version: the server speaks ${span(server)}, the client ${span(client)}`;
}

function span({ min, max }: VersionRange): string {
  return min === max ? String(min) : `${min} to ${max}`;
}
