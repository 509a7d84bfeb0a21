import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import type { Channel, Down } from '#runtime/link/channel.ts';
import { createCodec, type Codec } from '#runtime/link/codec.ts';
import { createConversation, type Conversation } from '#runtime/link/conversation.ts';
import { frameLayout, KIND, type FrameKind, type Header } from '#runtime/link/frame.ts';
import { BEGINNING, type LanePosition } from '#runtime/link/lane.ts';
import { openLargeMessage } from '#runtime/link/large-message.ts';
import { DEFAULT_LIMITS, linkLimits, type LinkLimits } from '#runtime/link/limits.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';

/** One end of a session of version 2 that proved its key, and an attacker who writes the frames of the other by hand. */
interface Victim {
  readonly host: VirtualHost;
  readonly conversation: Conversation<unknown>;
  readonly channel: Channel;
  readonly codec: Codec;
  readonly downs: Down[];
  readonly received: unknown[];
  readonly replies: Uint8Array[];
  /** What the socket says that it holds back. */
  buffered: number;
  /** The owner is done with one message. */
  readonly consuming: (() => void)[];
  /** The next frame. */
  say(kind: FrameKind, header: Partial<Header>, body?: Uint8Array): void;
}

interface Temper {
  readonly limits?: Partial<LinkLimits>;
  /** The owner never answers by itself. */
  readonly stuck?: boolean;
  readonly position?: LanePosition;
  readonly before?: (conversation: Conversation<unknown>) => void;
}

let victims: Victim[] = [];

function victim({ limits, stuck = false, position, before }: Temper = {}): Victim {
  const host = virtualHost(1);
  const downs: Down[] = [];
  const received: unknown[] = [];
  const replies: Uint8Array[] = [];
  const consuming: (() => void)[] = [];
  let frames = 0;
  const conversation = createConversation<unknown, unknown>({
    host,
    limits: linkLimits(limits),
    decode: (raw) => raw,
    lane: () => 'data',
    deliver(message) {
      received.push(message);
      return stuck ? new Promise<void>((resolve) => consuming.push(resolve)) : undefined;
    },
    onRoom: () => undefined,
    onDown: (cause) => void downs.push(cause),
  });
  before?.(conversation);
  const channel = conversation.attach(
    {
      send: (data) => void replies.push(data),
      close: () => undefined,
      abort: () => undefined,
      onMessage: () => undefined,
      onClose: () => undefined,
      get bufferedBytes() {
        return made.buffered;
      },
    },
    { version: 2, generation: 1, position: position === undefined ? BEGINNING : { ...BEGINNING, data: position }, window: undefined },
  );
  const made: Victim = {
    host,
    conversation,
    channel,
    codec: createCodec(),
    downs,
    received,
    replies,
    consuming,
    buffered: 0,
    say(kind, header, body = new Uint8Array(0)) {
      frames += 1;
      const blank = { lane: 'data', generation: 1, heard: 0, first: 0, controlAck: 0, ack: 0 } as const;
      channel.receive(frameLayout(2).write({ ...blank, kind, frame: frames, ...header }, body));
    },
  };
  victims.push(made);
  return made;
}

/** Throws when a timer is left. */
afterEach(() => {
  for (const { channel, host } of victims) {
    channel.abandon();
    expect(host.pendingTimers).toBe(0);
  }
  victims = [];
});

const verdict = ({ downs }: Victim): string => downs.map((down) => (down.kind === 'failed' ? String(down.error) : down.kind)).join();

function run(total: number, head: Uint8Array | number, ...rest: Uint8Array[]): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(total, 0);
  prefix.writeUInt32BE(typeof head === 'number' ? head : head.length, 4);
  return Buffer.concat([prefix, typeof head === 'number' ? new Uint8Array(0) : head, ...rest]);
}

/** A large message whose head says what no honest one does. */
function withHead(value: unknown, bodies: number): Uint8Array {
  const head = createCodec().encode(value);
  return run(8 + head.length + bodies, head);
}

describe('a hostile peer that sends a large message', () => {
  const body = new Uint8Array(20_000).fill(5);

  it('is served as long as it is honest', () => {
    const v = victim();
    const message = openLargeMessage({ n: 1, list: [{ body }], text: 'x' }, 0);
    while (!message.done) v.say(KIND.part, { first: 1 }, message.read(1_500));
    expect(v.received).toEqual([{ n: 1, list: [{ body }], text: 'x' }]);
    expect(v.downs).toEqual([]);
  });

  it.each<[string, Uint8Array, string]>([
    ['longer than the limit', run(9_000_000, 50, new Uint8Array(20)), 'over the limit'],
    ['longer than four bytes say', run(0xffff_ffff, 50, new Uint8Array(20)), 'over the limit'],
    ['shorter than its head', run(100, 93, new Uint8Array(20)), 'has a head of 93'],
    ['without a head', run(100, 0, new Uint8Array(20)), 'has a head of 0'],
    ['that starts with less than a prefix', new Uint8Array(7), 'starts with 7 bytes'],
    ['that starts with nothing but a prefix', run(100, 20), 'starts with 8 bytes'],
    ['with more bytes than it said', run(10, 2, new Uint8Array(5)), 'has 13'],
    ['with a head that is no value', run(1_000, Uint8Array.of(0xc1), new Uint8Array(5)), 'not allowed'],
    ['with a head that is no pair', withHead({ a: 1 }, 0), 'malformed'],
    ['with a place of a negative size', withHead([null, [[[0], -1]]], 0), 'malformed'],
    ['with a place for a body too small to travel alone', withHead([{ a: null }, [[[0, 'a'], 10]]], 10), 'malformed'],
    ['with places for more bytes than it has', withHead([{ a: null }, [[[0, 'a'], 40_000]]], 20_000), 'has places for'],
    ['with bytes that have no place', withHead([{ a: null }, []], 20_000), 'has places for'],
    ['with a place on the prototype', withHead([{ a: null }, [[[0, '__proto__'], 20_000]]], 20_000), 'not there'],
    ['with a place behind the prototype', withHead([{ a: null }, [[[0, '__proto__', 'x'], 20_000]]], 20_000), 'not there'],
    ['with a place in a function', withHead([{ a: null }, [[[0, 'constructor', 'name'], 20_000]]], 20_000), 'not there'],
    ['with a place at the length of a list', withHead([[null], [[[0, 'length'], 20_000]]], 20_000), 'not there'],
    ['with a place behind the end of a list', withHead([[null], [[[0, 7], 20_000]]], 20_000), 'not there'],
    ['with a place beside the message', withHead([null, [[[1], 20_000]]], 20_000), 'not there'],
    ['with a place nowhere', withHead([null, [[[], 20_000]]], 20_000), 'no place'],
    ['with a place that is taken', withHead([{ a: 1 }, [[[0, 'a'], 20_000]]], 20_000), 'no place'],
    [
      'with two bodies for one place',
      withHead(
        [
          { a: null },
          [
            [[0, 'a'], 20_000],
            [[0, 'a'], 20_000],
          ],
        ],
        40_000,
      ),
      'no place',
    ],
  ])('%s: the session ends', (_name, bytes, why) => {
    const v = victim();
    v.say(KIND.part, { first: 1 }, bytes.subarray(0, DEFAULT_LIMITS.frameBytes));
    expect(verdict(v)).toContain('LinkViolation');
    expect(verdict(v)).toContain(why);
    expect(v.received).toEqual([]);
  });

  it.each<[string, (v: Victim) => void, string]>([
    ['an empty piece', (v) => v.say(KIND.part, { first: 1 }), 'is empty'],
    ['a piece of another message', (v) => v.say(KIND.part, { first: 2 }, body), 'piece of message 2'],
    ['other messages in between', (v) => v.say(KIND.data, { first: 1 }, v.codec.encode(['a'])), 'in the middle of message 1'],
  ])('and then %s: the session ends', (_name, next, why) => {
    const v = victim();
    v.say(KIND.part, { first: 1 }, openLargeMessage({ body }, 0).read(500));
    next(v);
    expect(verdict(v)).toContain(why);
  });

  it('may use the other lane meanwhile', () => {
    const v = victim();
    const message = openLargeMessage({ body }, 0);
    v.say(KIND.part, { first: 1 }, message.read(500));
    v.say(KIND.data, { lane: 'control', first: 1 }, createCodec().encode(['urgent']));
    while (!message.done) v.say(KIND.part, { first: 1 }, message.read(5_000));
    expect(v.received).toEqual(['urgent', { body }]);
  });

  it('out of turn, or in no lane: the session ends', () => {
    const early = victim();
    early.say(KIND.part, { first: 2 }, openLargeMessage({ body }, 0).read(500));
    expect(verdict(early)).toContain('A piece of message 2 came after message 0');
    const skipped = victim();
    skipped.say(KIND.data, { first: 3 }, skipped.codec.encode(['a']));
    expect(verdict(skipped)).toContain('Message 3 came after message 0');
  });
});

describe('a hostile peer that does not keep to its credit', () => {
  it('costs the window and no more: a flood of messages that the owner does not take', () => {
    const v = victim({ stuck: true });
    let first = 1;
    while (v.downs.length === 0 && first < 1_000) {
      v.say(KIND.data, { first }, v.codec.encode(['x'.repeat(60_000)]));
      first += 1;
    }
    expect(verdict(v)).toContain(`More than ${DEFAULT_LIMITS.windowBytes} bytes are not consumed`);
    expect(v.received.length * 60_000).toBeLessThan(DEFAULT_LIMITS.windowBytes + 2 * 64 * 1024);
  });

  it('costs the reserve in the control lane', () => {
    const v = victim({ stuck: true });
    for (let first = 1; v.downs.length === 0 && first < 1_000; first++)
      v.say(KIND.data, { lane: 'control', first }, v.codec.encode(['x'.repeat(60_000)]));
    expect(verdict(v)).toContain(`More than ${DEFAULT_LIMITS.reserveBytes} bytes are not consumed`);
  });

  it('costs a bounded number of messages, however small', () => {
    const v = victim({ stuck: true, limits: { windowMessages: 500 } });
    for (let first = 1; v.downs.length === 0 && first < 5_000; first += 100)
      v.say(KIND.data, { first }, v.codec.encode(Array.from({ length: 100 }, (_, i) => i)));
    expect(verdict(v)).toContain('More than 500 messages are not consumed');
    expect(v.received).toHaveLength(500);
  });

  it('cannot announce a large message on top of what is not consumed', async () => {
    const v = victim({ stuck: true });
    v.say(KIND.data, { first: 1 }, v.codec.encode(['a']));
    v.say(KIND.part, { first: 2 }, run(8_000_000, 1_000, new Uint8Array(100)));
    expect(verdict(v)).toContain('are not consumed');
  });

  it('is let on when the owner has consumed', async () => {
    const v = victim({ stuck: true });
    for (let first = 1; first < 100; first++) {
      v.say(KIND.data, { first }, v.codec.encode(['x'.repeat(60_000)]));
      for (const done of v.consuming.splice(0)) done();
      await v.host.settle();
    }
    expect([v.received.length, v.downs]).toEqual([99, []]);
  });
});

describe('a hostile peer that lies about what it got', () => {
  it('claims frames or messages that were never sent', () => {
    const frames = victim();
    frames.say(KIND.ack, { heard: 1 });
    expect(verdict(frames)).toContain('The peer heard frame 1, but only 0 were sent.');
    for (const claim of [{ ack: 1 }, { controlAck: 1 }]) {
      const messages = victim();
      messages.say(KIND.ack, claim);
      expect(verdict(messages)).toContain('acknowledged message 1');
    }
  });

  it('claims the front of a message that is shorter than that', async () => {
    const large = { body: new Uint8Array(100_000) };
    const v = victim({ position: { seen: 0, consumed: 0, partial: 200_000 }, before: (conversation) => void conversation.send(large) });
    await v.host.settle();
    expect(verdict(v)).toContain('claims 200000 bytes of a message');
  });

  it('never says what it heard: no more than the flight is sent, and nothing grows', async () => {
    const v = victim({ before: (conversation) => void conversation.send({ body: new Uint8Array(8_000_000) }) });
    await v.host.settle();
    const bytes = v.replies.reduce((sum, reply) => sum + reply.length, 0);
    expect(bytes).toBeLessThanOrEqual(DEFAULT_LIMITS.flightBytes + 2_000);
    expect(v.conversation.send({ n: 1 })).toBe('full');
  });

  it('asks and asks and does not read the answers: it is dropped', () => {
    const v = victim();
    for (let i = 0; i < 10; i++) v.say(KIND.ping, {});
    expect(v.replies).toHaveLength(10);
    v.buffered = 100_000_000;
    v.say(KIND.ping, {});
    expect(v.replies).toHaveLength(10);
    expect(v.downs).toEqual([{ kind: 'lost', reason: 'it does not read what it asks for' }]);
  });
});

describe('hostile bytes', () => {
  it('in what was a true conversation end it as a violation of the protocol, once, or change a value', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }), fc.nat(30), (changes, broken) => {
        const v = victim();
        const large = openLargeMessage({ n: 2, body: new Uint8Array(30_000) }, 0);
        const bodies: [FrameKind, number, Uint8Array][] = [[KIND.data, 1, v.codec.encode([{ n: 1 }])]];
        while (!large.done) bodies.push([KIND.part, 2, large.read(2_000)]);
        bodies.push([KIND.data, 3, v.codec.encode([{ n: 3 }, { n: 4 }])]);
        bodies.forEach(([kind, first, bytes], i) => {
          const body = Uint8Array.from(bytes);
          if (i === broken % bodies.length) for (const [at, byte] of changes) body[at % body.length] = byte;
          v.say(kind, { first }, body);
        });
        expect(v.downs.length).toBeLessThanOrEqual(1);
        for (const down of v.downs) if (down.kind === 'failed') expect(down.error).toBeInstanceOf(LinkViolation);
        v.channel.abandon();
        victims.pop();
        expect(v.host.pendingTimers).toBe(0);
      }),
      { seed: 3, numRuns: 500 },
    );
  });
});
