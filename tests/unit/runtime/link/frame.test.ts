import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { HEADER_BYTES, isHandshakeFrame, KIND, readFrame, writeFrame } from '#runtime/link/frame.ts';
import { LinkViolation } from '#runtime/link/violation.ts';

const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe('frames', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(
        fc.record({ kind: fc.constantFrom(...Object.values(KIND)), generation: u32, frame: u32, first: u48, ack: u48 }),
        fc.uint8Array({ maxLength: 200 }),
        (header, body) => {
          const read = readFrame(writeFrame(header, body), 200);
          expect(read.header).toEqual(header);
          expect(Uint8Array.from(read.body)).toEqual(body);
        },
      ),
      { seed: 1 },
    );
  });

  it('are refused when they are too short, too long or of no known kind', () => {
    const frame = writeFrame({ kind: KIND.data, generation: 1, frame: 1, first: 1, ack: 0 }, new Uint8Array(10));
    for (let length = 0; length < HEADER_BYTES; length++) expect(() => readFrame(frame.subarray(0, length), 100)).toThrow(LinkViolation);
    expect(() => readFrame(frame, 9)).toThrow('over the limit');
    for (const kind of [0, 7, 15, 255]) {
      frame[0] = kind;
      expect(() => readFrame(frame, 100)).toThrow(`kind ${kind}`);
    }
  });

  it('tell a frame of the handshake apart', () => {
    expect([1, 6, 15, 16, 19].map((kind) => isHandshakeFrame(Uint8Array.of(kind)))).toEqual([false, false, false, true, true]);
    expect(isHandshakeFrame(new Uint8Array(0))).toBe(false);
  });
});
