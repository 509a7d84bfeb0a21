import { afterEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';

import { createChannel, type Channel, type Down } from '#runtime/link/channel.ts';
import { createCodec } from '#runtime/link/codec.ts';
import { frameLayout, KIND, type FrameKind, type Header } from '#runtime/link/frame.ts';
import { Inbox } from '#runtime/link/inbox.ts';
import { DEFAULT_LIMITS, linkLimits, type LinkLimits } from '#runtime/link/limits.ts';
import { Outbox } from '#runtime/link/outbox.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { createWire, type Wire } from '#tests/support/link-wire.ts';

const MIB = 1024 * 1024;

/** The server's end of a wire with a channel on it; the test speaks for the client. */
interface Bench {
  readonly host: VirtualHost;
  readonly wire: Wire;
  readonly channel: Channel;
  readonly arrived: { first: number; messages: readonly unknown[] }[];
  readonly downs: Down[];
  /** Makes the clock of the channel jump, as after a pause of the process. */
  readonly pauseProcess: (ms: number) => void;
  /** Bytes that lie in the socket: read when the event loop goes round, before anything that was put off until then. */
  readonly unread: Uint8Array[];
  /** Frames that came out of the channel. */
  readonly replies: () => Header[];
}

let benches: Bench[] = [];

function setUp(changes: Partial<LinkLimits> = {}, version = 1): Bench {
  const limits = linkLimits(changes);
  const window = { bytes: limits.windowBytes, messages: limits.windowMessages };
  const lane = () => ({ outbox: new Outbox<unknown>(window), inbox: new Inbox(window) });
  const lanes = { control: lane(), data: lane() };
  const host = virtualHost(1);
  let jumped = 0;
  const wire = createWire({ host });
  const arrived: Bench['arrived'] = [];
  const downs: Down[] = [];
  const unread: Uint8Array[] = [];
  const channel: Channel = createChannel({
    host: {
      ...host,
      clock: { now: () => host.clock.now() + jumped, wall: () => host.clock.wall() },
      scheduler: {
        ...host.scheduler,
        yieldThen(run) {
          host.scheduler.yieldThen(() => {
            for (const data of unread.splice(0)) channel.receive(data);
            run();
          });
        },
      },
    },
    limits,
    socket: wire.server,
    version,
    generation: 4,
    port: {
      lanes,
      acknowledged(_lane, seq) {
        if (seq > 0) throw new LinkViolation('nothing was sent');
      },
      arrived(name, { first, messages }) {
        arrived.push({ first, messages });
        for (let n = 0; n < messages.length; n++) lanes[name].inbox.advance();
        return messages.length;
      },
      down: (cause) => downs.push(cause),
    },
  });
  wire.server.onMessage((data) => channel.receive(data));
  wire.server.onClose(() => channel.socketClosed());
  const bench: Bench = {
    host,
    wire,
    channel,
    arrived,
    downs,
    unread,
    pauseProcess: (ms) => void (jumped += ms),
    replies: () => wire.sent.filter((frame) => frame.from === 'server').map((frame) => frameLayout(version).read(frame.data, MIB).header),
  };
  benches.push(bench);
  return bench;
}

/** Throws when the channel left a timer behind. */
afterEach(async () => {
  for (const { channel, host, wire } of benches) {
    channel.abandon();
    await host.advance(40_000);
    expect([wire.closed, host.pendingTimers]).toEqual([true, 0]);
  }
  benches = [];
});

function frame(number: number, kind: FrameKind, header: Partial<Header> = {}, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  return frameLayout(1).write(
    { kind, lane: 'data', generation: 4, frame: number, heard: 0, first: 0, controlAck: 0, ack: 0, ...header },
    body,
  );
}

const batch = (...messages: unknown[]): Uint8Array => createCodec().encode(messages);
const reasons = (downs: readonly Down[]): unknown[] => downs.map((down) => (down.kind === 'failed' ? String(down.error) : down.kind));

describe('a channel', () => {
  it('takes a frame once, and only of its own generation', () => {
    const { channel, arrived, downs } = setUp();
    const first = frame(1, KIND.data, { first: 1 }, batch('a'));
    channel.receive(first);
    channel.receive(first);
    channel.receive(frame(2, KIND.data, { first: 2, generation: 3 }, batch('late')));
    channel.receive(frame(2, KIND.data, { first: 2, generation: 5 }, batch('early')));
    channel.receive(frame(2, KIND.data, { first: 2 }, batch('b')));
    expect(arrived).toEqual([
      { first: 1, messages: ['a'] },
      { first: 2, messages: ['b'] },
    ]);
    expect(downs).toEqual([]);
  });

  it('does not let frames be missing', () => {
    const { channel, downs } = setUp();
    channel.receive(frame(1, KIND.ack));
    channel.receive(frame(3, KIND.ack));
    expect(reasons(downs)).toEqual(['LinkViolation: Frame 3 came after frame 1.']);
  });

  it('answers pings and says why it ends', async () => {
    const { channel, downs, host, replies, wire } = setUp();
    channel.receive(frame(1, KIND.ping));
    channel.receive(frame(2, KIND.pong));
    channel.receive(frame(3, KIND.close, {}, Buffer.from('enough')));
    await host.advance(10);
    expect(replies().map((reply) => reply.kind)).toEqual([KIND.pong]);
    expect(downs).toEqual([{ kind: 'closed', reason: 'enough' }]);
    expect(wire.closed).toBe(true);
  });

  it('ignores late frames of the handshake', () => {
    const { channel, downs } = setUp();
    for (const kind of [16, 17, 18, 19]) channel.receive(Uint8Array.of(kind, 1, 2));
    expect(downs).toEqual([]);
  });

  it('puts parts together, message after message, and bounds each', () => {
    const { channel, arrived, downs } = setUp({ messageBytes: MIB });
    const body = batch(new Uint8Array(900_000));
    let number = 0;
    for (let message = 1; message <= 3; message++) {
      for (let at = 0; at < body.length; at += DEFAULT_LIMITS.frameBytes) {
        number += 1;
        const piece = body.subarray(at, at + DEFAULT_LIMITS.frameBytes);
        channel.receive(frame(number, at + piece.length < body.length ? KIND.part : KIND.data, { first: message }, piece));
      }
    }
    expect(arrived.map(({ first }) => first)).toEqual([1, 2, 3]);
    for (let i = 0; i < 16; i++) channel.receive(frame(++number, KIND.part, { first: 4 }, new Uint8Array(DEFAULT_LIMITS.frameBytes)));
    expect(downs).toEqual([]);
    channel.receive(frame(++number, KIND.data, { first: 4 }, new Uint8Array(DEFAULT_LIMITS.frameBytes)));
    expect(reasons(downs)).toEqual([`LinkViolation: A message has more than ${MIB} bytes.`]);
  });

  it('does not collect parts without end, nor tiny ones', () => {
    const endless = setUp({ messageBytes: MIB });
    for (let i = 1; i <= 40; i++) endless.channel.receive(frame(i, KIND.part, {}, new Uint8Array(DEFAULT_LIMITS.frameBytes)));
    expect(reasons(endless.downs)).toEqual([`LinkViolation: A message has more than ${MIB} bytes.`]);
    const tiny = setUp();
    tiny.channel.receive(frame(1, KIND.part, {}, new Uint8Array(1)));
    expect(reasons(tiny.downs)).toEqual(['LinkViolation: A part of 1 bytes is too small.']);
  });

  it('ends on a body that is no list of messages, and on acknowledgements that cannot be', () => {
    for (const body of [createCodec().encode('text'), createCodec().encode({ a: 1 }), createCodec().encode([])]) {
      const { channel, downs } = setUp();
      channel.receive(frame(1, KIND.data, { first: 1 }, body));
      expect(reasons(downs)).toEqual(['LinkViolation: The body of a frame is not a list of messages.']);
    }
    const { channel, downs } = setUp();
    channel.receive(frame(1, KIND.ack, { ack: 1 }));
    expect(reasons(downs)).toEqual(['LinkViolation: nothing was sent']);
  });

  it('ends once, whatever comes then', async () => {
    const { channel, downs, host, replies } = setUp();
    channel.receive(new Uint8Array(3));
    channel.receive(frame(1, KIND.ping));
    channel.fail('crashed', new Error('late'));
    channel.socketClosed();
    channel.close('late');
    channel.requestFlush();
    await host.advance(100);
    expect(downs).toHaveLength(1);
    expect(replies().map((reply) => reply.kind)).toEqual([KIND.close]);
  });

  it('survives whatever bytes come, in any number of frames', () => {
    const anyFrame = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.constantFrom(...Object.values(KIND)), fc.uint8Array({ maxLength: 300 })).map(([kind, body]) => ({ kind, body })),
    );
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 10 }), (frames) => {
        const { channel, downs, host } = setUp();
        frames.forEach((one, i) => channel.receive(one instanceof Uint8Array ? one : frame(i + 1, one.kind, { first: 1 }, one.body)));
        expect(downs.length).toBeLessThanOrEqual(1);
        for (const down of downs) if (down.kind === 'failed') expect(down.error).toBeInstanceOf(LinkViolation);
        channel.abandon();
        benches.pop();
        expect(host.pendingTimers).toBeLessThanOrEqual(frames.length + 4);
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });
});

describe('silence', () => {
  it('of 3 s ends it', async () => {
    const { downs, host, replies } = setUp();
    await host.advance(2_999);
    expect(replies().map((reply) => reply.kind)).toEqual([KIND.ping, KIND.ping]);
    expect(downs).toEqual([]);
    await host.advance(2);
    expect(downs).toEqual([{ kind: 'lost', reason: 'silent' }]);
  });

  it('that is our own does not count: after a pause of the process the peer gets its chance', async () => {
    const { downs, host, replies, pauseProcess, channel } = setUp();
    await host.advance(500);
    pauseProcess(60_000);
    await host.advance(600);
    expect(replies().map((reply) => reply.kind)).toEqual([KIND.ping]);
    expect(downs).toEqual([]);
    channel.receive(frame(1, KIND.pong));
    await host.advance(900);
    expect(downs).toEqual([]);
  });

  it('is not believed before the event loop has read what lies in the socket', async () => {
    const { downs, host, pauseProcess, unread } = setUp();
    await host.advance(1_100);
    pauseProcess(60_000);
    unread.push(frame(1, KIND.pong));
    await host.advance(950);
    expect([unread, downs]).toEqual([[], []]);
    await host.advance(1_500);
    expect(downs).toEqual([]);
    await host.advance(1_500);
    expect(downs).toEqual([{ kind: 'lost', reason: 'silent' }]);
  });
});
