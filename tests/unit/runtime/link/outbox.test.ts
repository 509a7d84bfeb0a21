import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { LanePosition } from '#runtime/link/lane.ts';
import { Outbox } from '#runtime/link/outbox.ts';

const roomy = { bytes: 1_000, messages: 100 };

/** A peer that has consumed all that it has seen. */
const at = (seen: number): LanePosition => ({ seen, consumed: seen, partial: 0 });

function filled(count: number, bytes = 1): Outbox<number> {
  const outbox = new Outbox<number>(roomy);
  for (let n = 1; n <= count; n++) expect(outbox.offer(n, bytes)).toBe(true);
  return outbox;
}

describe('Outbox', () => {
  it('numbers messages from 1 and hands each out once per connection', () => {
    const outbox = filled(5);
    expect(outbox.take(100, 3)).toMatchObject({ first: 1, messages: [1, 2, 3] });
    expect(outbox.take(100, 3)).toMatchObject({ first: 4, messages: [4, 5] });
    expect(outbox.take(100, 3)).toBeUndefined();
    expect(outbox.pending).toBe(false);
  });

  it('cuts a batch at the byte limit, but never below one message', () => {
    const outbox = filled(3, 60);
    expect(outbox.take(50, 10)?.messages).toEqual([1]);
    expect(outbox.take(120, 10)?.messages).toEqual([2, 3]);
  });

  it('is full at either limit, and takes one message of any size when empty', () => {
    const bytes = new Outbox<string>({ bytes: 10, messages: 100 });
    expect(bytes.offer('huge', 500)).toBe(true);
    expect(bytes.offer('tiny', 1)).toBe(false);
    bytes.take(1_000, 1);
    bytes.acknowledge(1);
    expect(bytes.offer('tiny', 1)).toBe(true);

    const count = new Outbox<number>({ bytes: 1_000, messages: 2 });
    expect([count.offer(1, 1), count.offer(2, 1), count.offer(3, 1)]).toEqual([true, true, false]);
  });

  it('sends everything above the peer again after a rewind, in order, before anything new', () => {
    const outbox = filled(4);
    outbox.take(100, 100);
    outbox.offer(5, 1);
    expect(outbox.canResume(at(2))).toBe(true);
    outbox.rewind(at(2));
    expect(outbox.take(100, 100)).toMatchObject({ first: 3, messages: [3, 4, 5] });
  });

  it('refuses an acknowledgement of what was never sent', () => {
    const outbox = filled(3);
    outbox.take(100, 2);
    expect(() => outbox.acknowledge(3)).toThrow('acknowledged message 3');
    expect(outbox.canResume(at(3))).toBe(false);
  });

  it('does not resume below what the peer had acknowledged', () => {
    const outbox = filled(3);
    outbox.take(100, 3);
    outbox.acknowledge(2);
    expect(outbox.canResume(at(1))).toBe(false);
    outbox.acknowledge(1);
    expect(outbox.size).toBe(1);
  });

  it('hands back what is not acknowledged and counts from 1 again', () => {
    const outbox = filled(3);
    outbox.take(100, 2);
    outbox.acknowledge(1);
    expect(outbox.drain()).toEqual([2, 3]);
    outbox.offer(9, 1);
    expect(outbox.take(100, 10)).toMatchObject({ first: 1, messages: [9] });
  });

  it('behaves as a plain list would, whatever the order of calls', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('offer' as const), amount: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ do: fc.constant('take' as const), amount: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ do: fc.constant('acknowledge' as const), amount: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ do: fc.constant('rewind' as const), amount: fc.integer({ min: 0, max: 20 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const outbox = new Outbox<number>({ bytes: 200, messages: 50 });
        const all: { n: number; bytes: number }[] = [];
        let acknowledged = 0;
        let transmitted = 0;
        let cursor = 0;
        for (const { do: verb, amount } of steps) {
          const waiting = all.slice(acknowledged);
          const waitingBytes = waiting.reduce((sum, entry) => sum + entry.bytes, 0);
          if (verb === 'offer') {
            const room = waiting.length === 0 || (waiting.length < 50 && waitingBytes + amount <= 200);
            expect(outbox.offer(all.length + 1, amount)).toBe(room);
            if (room) all.push({ n: all.length + 1, bytes: amount });
          } else if (verb === 'take') {
            const batch = outbox.take(amount, 10);
            const expected = all.slice(cursor, cursor + (batch?.messages.length ?? 0)).map((entry) => entry.n);
            expect(batch === undefined).toBe(cursor === all.length);
            if (batch === undefined) continue;
            expect(batch).toMatchObject({ first: cursor + 1, messages: expected });
            cursor += expected.length;
            transmitted = Math.max(transmitted, cursor);
          } else {
            const to = Math.min(acknowledged + amount, transmitted);
            acknowledged = to;
            if (verb === 'acknowledge') outbox.acknowledge(to);
            else outbox.rewind(at(to));
            cursor = verb === 'rewind' ? to : Math.max(cursor, to);
          }
          expect(outbox.size).toBe(all.length - acknowledged);
          expect(outbox.bytes).toBe(all.slice(acknowledged).reduce((sum, entry) => sum + entry.bytes, 0));
          expect(outbox.pending).toBe(cursor < all.length);
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});
