import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { frameLayout, isHandshakeFrame, KIND, type Header } from '#runtime/link/frame.ts';
import { LANES } from '#runtime/link/lane.ts';
import { LinkViolation } from '#runtime/link/violation.ts';

const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const header = fc.record({
  kind: fc.constantFrom(...Object.values(KIND)),
  lane: fc.constantFrom(...LANES),
  generation: u32,
  frame: u32,
  heard: u32,
  first: u48,
  controlAck: u48,
  ack: u48,
});
/** Version 1 has no word for the rest. */
const inVersion = (version: number, full: Header): Header => (version === 1 ? { ...full, lane: 'data', heard: 0, controlAck: 0 } : full);

describe.each([1, 2])('frames of version %i', (version) => {
  const layout = frameLayout(version);

  it('come back as they were written', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 200 }), (full, body) => {
        const read = layout.read(layout.write(full, body), 200);
        expect(read.header).toEqual(inVersion(version, full));
        expect(Uint8Array.from(read.body)).toEqual(body);
      }),
      { seed: 1 },
    );
  });

  it('are refused when they are too short, too long, or of no known kind or lane', () => {
    const blank = { kind: KIND.data, lane: 'data', generation: 1, frame: 1, heard: 0, first: 1, controlAck: 0, ack: 0 } as const;
    const frame = layout.write(blank, new Uint8Array(10));
    for (let length = 0; length < layout.headerBytes; length++)
      expect(() => layout.read(frame.subarray(0, length), 100)).toThrow(LinkViolation);
    expect(() => layout.read(frame, 9)).toThrow('over the limit');
    for (const kind of [0, 7, 15, 255]) {
      frame[0] = kind;
      expect(() => layout.read(frame, 100)).toThrow(`kind ${kind}`);
    }
    frame[0] = KIND.data;
    frame[1] = 2;
    if (version > 1) expect(() => layout.read(frame, 100)).toThrow('no lane 2');
  });
});

describe('frames', () => {
  it('tell a frame of the handshake apart', () => {
    expect([1, 6, 15, 16, 19].map((kind) => isHandshakeFrame(Uint8Array.of(kind)))).toEqual([false, false, false, true, true]);
    expect(isHandshakeFrame(new Uint8Array(0))).toBe(false);
  });
});
