import { Packr, Unpackr } from 'msgpackr';

import { createAudit, MAX_RECORD_KEY_BYTES, MAX_RECORD_KEYS } from './audit.ts';
import { LinkViolation } from './violation.ts';

/**
 * MessagePack with msgpackr's sequential records: the keys of an object travel once per connection, so a message takes about
 * two thirds of its JSON and bytes need no base64.
 *
 * Both directions hold state. A codec therefore belongs to one connection: make a new one for each, decode everything that the
 * peer's encoder made, once, in order, and never send bytes of one connection on another.
 */
export interface Codec {
  /** For values that `messageSize` accepted. The bytes are the caller's. */
  encode(value: unknown): Uint8Array;
  /** Byte arrays come out as copies. Throws `LinkViolation` for anything that an honest `encode` cannot have made. */
  decode(bytes: Uint8Array): unknown;
}

export function createCodec(): Codec {
  // Two separate option objects: msgpackr writes into what it is given.
  const packr = new Packr({ sequential: true, useRecords: worthARecord, maxOwnStructures: 64, maxSharedStructures: 0 });
  const unpackr = new Unpackr({ sequential: true, useRecords: true, mapsAsObjects: true, copyBuffers: true });
  const audit = createAudit();
  return {
    encode: (value) => packr.pack(value),
    decode(bytes) {
      audit(bytes);
      try {
        return unpackr.unpack(bytes) as unknown;
      } catch (error) {
        throw new LinkViolation(`The bytes cannot be decoded: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
  };
}

/** Objects with many or long keys are tables rather than records: they would push the real records out of the peer's table. */
function worthARecord(object: object): boolean {
  let keys = 0;
  for (const key in object) {
    keys += 1;
    // A UTF-16 unit takes at most three bytes.
    if (keys > MAX_RECORD_KEYS || key.length * 3 > MAX_RECORD_KEY_BYTES) return false;
  }
  return true;
}
