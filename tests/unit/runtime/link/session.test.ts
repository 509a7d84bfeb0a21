import { afterEach, describe, expect, it } from 'vitest';

import { DEFAULT_LIMITS } from '#runtime/link/limits.ts';
import { HANDSHAKE } from '#runtime/link/handshake.ts';
import { frameLayout, KIND, type Header } from '#runtime/link/frame.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { type LinkPair, type Note, notes, numbers, openPair as openPairUnchecked, type PairOptions } from '#tests/support/link-pair.ts';
import type { Wire } from '#tests/support/link-wire.ts';

let pairs: LinkPair[] = [];

async function openPair(options: PairOptions = {}): Promise<LinkPair> {
  const pair = openPairUnchecked(options);
  pairs.push(pair);
  await pair.host.advance(10);
  return pair;
}

/** Throws when a timer or a socket is left. */
afterEach(async () => {
  for (const pair of pairs) await pair.close();
  pairs = [];
});

const headerOf = (data: Uint8Array): Header => frameLayout(2).read(data, 1 << 20).header;

function kindsFrom(wire: Wire, from: 'client' | 'server'): number[] {
  return wire.sent.flatMap((frame) => (frame.from === from && (frame.data[0] ?? 0) < 16 ? [headerOf(frame.data).kind] : []));
}

describe('an open session', () => {
  it('carries messages both ways, in order', async () => {
    const pair = await openPair();
    expect(pair.events).toEqual(['open']);
    expect(pair.client.state).toBe('open');
    expect(pair.session().session.peer).toBe('agent');
    expect(pair.session().session.hello).toEqual({ greeting: 0 });
    for (const note of notes(1, 500)) {
      expect(pair.client.send(note)).toBe('accepted');
      expect(pair.session().session.send(note)).toBe('accepted');
    }
    await pair.host.advance(100);
    expect(numbers(pair.session().received)).toEqual(numbers(notes(1, 500)));
    expect(numbers(pair.received)).toEqual(numbers(notes(1, 500)));
  });

  it('sends what one turn of the event loop says in one frame', async () => {
    const pair = await openPair();
    for (const note of notes(1, 50)) pair.client.send(note);
    await pair.host.advance(100);
    expect(kindsFrom(pair.wire(), 'client')).toEqual([KIND.data]);
    for (const note of notes(51, 50 + DEFAULT_LIMITS.frameMessages + 1)) pair.client.send(note);
    await pair.host.advance(100);
    expect(kindsFrom(pair.wire(), 'client')).toEqual([KIND.data, KIND.data, KIND.data]);
  });

  it('keeps what is sent before the first welcome', async () => {
    const pair = openPairUnchecked();
    pairs.push(pair);
    expect(pair.client.state).toBe('connecting');
    expect(pair.client.send({ n: 1 })).toBe('accepted');
    await pair.host.advance(10);
    expect(numbers(pair.session().received)).toEqual([1]);
    expect(pair.lost).toEqual([]);
  });

  it('carries a large message in parts, with bytes as they were', async () => {
    const pair = await openPair();
    const bytes = Uint8Array.from({ length: 500_000 }, (_, i) => (i * 7) % 256);
    pair.client.send({ n: 1, bytes });
    pair.client.send({ n: 2 });
    await pair.host.advance(100);
    const [large] = pair.session().received;
    expect(numbers(pair.session().received)).toEqual([1, 2]);
    expect(Buffer.compare(large?.bytes ?? new Uint8Array(0), bytes)).toBe(0);
    expect(kindsFrom(pair.wire(), 'client').filter((kind) => kind === KIND.part)).toHaveLength(9);
    for (const { data } of pair.wire().sent) expect(data.length).toBeLessThanOrEqual(DEFAULT_LIMITS.frameBytes + 32);
  });

  it('throws at a message that is too large or not carried, and goes on', async () => {
    const pair = await openPair();
    expect(() => pair.client.send({ n: 1, bytes: new Uint8Array(DEFAULT_LIMITS.messageBytes) })).toThrow('more than 8388608 bytes');
    expect(() => pair.client.send({ n: 1, text: new Date(0) } as unknown as Note)).toThrow('an instance of Date');
    pair.client.send({ n: 2 });
    await pair.host.advance(10);
    expect(numbers(pair.session().received)).toEqual([2]);
  });
});

describe('acknowledgements', () => {
  it('go out by themselves after 500 ms', async () => {
    const pair = await openPair();
    pair.client.send({ n: 1 });
    await pair.host.advance(DEFAULT_LIMITS.ackAfterMs);
    expect(kindsFrom(pair.wire(), 'server')).toEqual([]);
    await pair.host.advance(5);
    expect(kindsFrom(pair.wire(), 'server')).toEqual([KIND.ack]);
  });

  it('go out at once after 64 messages or 64 KiB', async () => {
    const pair = await openPair();
    for (const note of notes(1, 64)) pair.client.send(note);
    await pair.host.advance(5);
    expect(kindsFrom(pair.wire(), 'server')).toEqual([KIND.ack]);
    pair.client.send({ n: 65, bytes: new Uint8Array(DEFAULT_LIMITS.ackAfterBytes) });
    await pair.host.advance(5);
    expect(kindsFrom(pair.wire(), 'server')).toEqual([KIND.ack, KIND.ack]);
  });

  it('go out at once for a large message, however small its last piece is', async () => {
    const pair = await openPair();
    pair.client.send({ n: 1, bytes: new Uint8Array(100_000) });
    await pair.host.advance(20);
    expect(headerOf(pair.wire().sent.findLast((frame) => frame.from === 'server')?.data ?? new Uint8Array(0)).ack).toBe(1);
  });

  it('ride on what is sent anyway', async () => {
    const pair = await openPair({ onServerMessage: (note, session) => void session.send(note) });
    pair.client.send({ n: 1 });
    await pair.host.advance(DEFAULT_LIMITS.ackAfterMs * 1.5);
    expect(kindsFrom(pair.wire(), 'server')).toEqual([KIND.data]);
    expect(headerOf(pair.wire().sent.findLast((frame) => frame.from === 'server')?.data ?? new Uint8Array(0)).ack).toBe(1);
  });

  it('are not given for a message whose handler ended the session', async () => {
    const pair = await openPair({ onServerMessage: (note, session) => (note.n === 2 ? session.close('enough') : undefined) });
    for (const note of notes(1, 4)) pair.client.send(note);
    await pair.host.advance(20_000);
    expect(numbers(pair.sessions[0]?.received ?? [])).toEqual([1, 2]);
    // 2 was delivered, so it is acknowledged with the farewell; 3 and 4 come back.
    expect(numbers(pair.lost)).toEqual([2, 3, 4]);
  });
});

describe('the window', () => {
  it('is full beyond its bytes or messages, and tells when there is room', async () => {
    const pair = await openPair({ limits: { windowMessages: 10 } });
    const admissions = notes(1, 12).map((note) => pair.client.send(note));
    expect(admissions).toEqual([...Array.from({ length: 10 }, () => 'accepted'), 'full', 'full']);
    await pair.host.advance(1_000);
    expect(pair.events).toEqual(['open', 'room']);
    expect(pair.client.send({ n: 13 })).toBe('accepted');
    await pair.host.advance(1_000);
    expect(numbers(pair.session().received)).toEqual([...numbers(notes(1, 10)), 13]);
  });

  it('fills while the other side is away, and no further', async () => {
    const pair = await openPair();
    pair.wire().freeze();
    const text = 'x'.repeat(10_000);
    let accepted = 0;
    while (pair.session().session.send({ n: accepted, text }) === 'accepted') accepted += 1;
    expect(accepted).toBe(Math.floor(DEFAULT_LIMITS.windowBytes / 10_025));
    await pair.host.advance(10_000);
    expect(pair.session().events).toEqual(['suspended', 'resumed', 'room']);
    expect(pair.received).toHaveLength(accepted);
  });
});

describe('a lost socket', () => {
  it('suspends both sides; the session goes on with the next one', async () => {
    const pair = await openPair();
    pair.wire().cut();
    pair.client.send({ n: 1 });
    pair.session().session.send({ n: 1 });
    await pair.host.advance(5);
    expect(pair.client.state).toBe('suspended');
    expect(pair.session().events).toEqual(['suspended']);
    pair.client.send({ n: 2 });
    pair.session().session.send({ n: 2 });
    await pair.host.advance(1_000);
    expect(pair.events).toEqual(['open', 'suspended disconnected', 'resumed']);
    expect(pair.session().events).toEqual(['suspended', 'resumed']);
    expect(pair.session().session.hello).toEqual({ greeting: 2 });
    expect(pair.sessions).toHaveLength(1);
    expect([numbers(pair.received), numbers(pair.session().received)]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it('is found by pings after 3 s of silence, though it never closes', async () => {
    const pair = await openPair();
    pair.wire().freeze();
    await pair.host.advance(DEFAULT_LIMITS.deadAfterMs - 50);
    expect(pair.client.state).toBe('open');
    await pair.host.advance(100);
    expect(pair.events).toContain('suspended silent');
    await pair.host.advance(1_000);
    expect(pair.client.state).toBe('open');
    expect(pair.session().events).toEqual(['suspended', 'resumed']);
  });

  it('is found when only one direction is dead', async () => {
    for (const end of ['client', 'server'] as const) {
      const pair = await openPair();
      pair.wire().freeze(end);
      await pair.host.advance(8_000);
      expect(pair.client.state).toBe('open');
      expect(pair.sessions).toHaveLength(1);
      expect(pair.wires).toHaveLength(2);
    }
  });

  it('stays for as long as somebody answers pings', async () => {
    const pair = await openPair();
    await pair.host.advance(60_000);
    expect(pair.wires).toHaveLength(1);
    expect(pair.events).toEqual(['open']);
    const pings = [...kindsFrom(pair.wire(), 'client'), ...kindsFrom(pair.wire(), 'server')].filter((kind) => kind === KIND.ping);
    expect(pings.length).toBeGreaterThan(50);
    expect(pings.length).toBeLessThan(130);
  });

  it('for longer than 30 s ends the session: the server closes it, the client hands back and opens a new one', async () => {
    let dead = false;
    const pair = await openPair({ wire: { tamper: (data) => (dead ? new Uint8Array(0) : data) } });
    pair.session().session.send({ n: 100 });
    await pair.host.advance(1_000);
    dead = true;
    pair.wire().cut();
    await pair.host.advance(5);
    pair.client.send({ n: 1 });
    pair.session().session.send({ n: 101 });
    await pair.host.advance(DEFAULT_LIMITS.keepSessionMs + 100);
    expect(pair.sessions[0]?.events).toEqual(['suspended', 'closed expired']);
    expect(numbers(pair.sessions[0]?.undelivered ?? [])).toEqual([101]);
    expect(pair.sessions[0]?.session.send({ n: 102 })).toBe('closed');
    dead = false;
    await pair.host.advance(20_000);
    expect(numbers(pair.lost)).toEqual([1]);
    expect(pair.events.at(-1)).toBe('open');
    pair.client.send({ n: 2 });
    await pair.host.advance(10);
    expect(numbers(pair.session().received)).toEqual([2]);
  });

  it('before the welcome arrived costs no message of the client, and the server hears what it sent in vain', async () => {
    let first = true;
    const pair = await openPair({
      wire: {
        tamper(data, from) {
          if (from === 'server' && data[0] === HANDSHAKE.welcome2 && first) {
            first = false;
            pairs[0]?.wire().freeze();
          }
          return data;
        },
      },
    });
    pair.client.send({ n: 1 });
    pair.session().session.send({ n: 50 });
    await pair.host.advance(15_000);
    expect(pair.sessions.map((seen) => seen.events)).toEqual([['suspended', 'closed superseded'], []]);
    expect(numbers(pair.sessions[0]?.undelivered ?? [])).toEqual([50]);
    expect(pair.events).toEqual(['unreachable', 'open']);
    expect(pair.lost).toEqual([]);
    expect(numbers(pair.session().received)).toEqual([1]);
  });
});

describe('a newer session of the same peer', () => {
  it('closes the older one on both sides for good', async () => {
    const pair = await openPair();
    const older = pair.session();
    const { clientKey, serverKey } = pair;
    const twin = openPairUnchecked({
      client: { key: clientKey, serverKey: serverKey.publicKey, host: pair.host, connect: () => pair.dial().client },
    });
    await pair.host.advance(100);
    expect(older.events).toEqual(['closed superseded']);
    expect(pair.events).toEqual(['open', 'refused superseded for good']);
    expect(pair.client.state).toBe('closed');
    expect(pair.client.send({ n: 1 })).toBe('closed');
    expect(twin.client.state).toBe('open');
    twin.client.send({ n: 7 });
    await pair.host.advance(100);
    expect(numbers(pair.session().received)).toEqual([7]);
    expect(older.received).toEqual([]);
    const bye = twin.close();
    await pair.host.advance(2_000);
    await bye;
  });

  it('makes late frames of the older connection void', async () => {
    const pair = await openPair();
    const [old] = pair.wires;
    // The client notices the cut at once and resumes; the server still has the old socket and would read from it.
    old?.cut([0, 5_000]);
    await pair.host.advance(1_000);
    expect(pair.session().events).toEqual(['resumed']);
    pair.client.send({ n: 1 });
    await pair.host.advance(10);
    const late = pair.wire().sent.findLast((frame) => frame.from === 'client')?.data ?? new Uint8Array(0);
    old?.inject('server', late);
    const oldGeneration = Uint8Array.from(late);
    new DataView(oldGeneration.buffer).setUint32(2, 1);
    pair.wire().inject('server', oldGeneration);
    await pair.host.advance(100);
    expect(numbers(pair.session().received)).toEqual([1]);
    expect(pair.faults).toEqual([]);
    expect(pair.wires).toHaveLength(2);
  });
});

describe('what breaks a session', () => {
  it('a message that decode refuses: both sides hear it, the next session is new', async () => {
    const pair = await openPair();
    pair.client.send({ n: 'one' } as unknown as Note);
    await pair.host.advance(1_000);
    expect(pair.sessions[0]?.events).toEqual(['closed protocol']);
    expect(pair.faults).toEqual([new Error('not a note')]);
    expect(pair.events).toEqual(['open', 'suspended protocol', 'open']);
    expect(pair.sessions).toHaveLength(2);
    expect(pair.lost).toHaveLength(1);
  });

  it('a message that the client refuses: it does not come back for the same one, even when the server did not hear the goodbye', async () => {
    const pair = await openPair();
    pair.wire().freeze('server');
    pair.session().session.send({ n: 'one' } as unknown as Note);
    await pair.host.advance(1_000);
    expect(pair.events).toEqual(['open', 'suspended protocol', 'open']);
    expect(pair.sessions.map((seen) => seen.events)).toEqual([['closed superseded'], []]);
    expect(pair.faults).toHaveLength(1);
  });

  it('a handler that throws: the session ends as crashed, the server goes on', async () => {
    const pair = await openPair({
      onServerMessage() {
        throw new Error('a defect');
      },
    });
    pair.client.send({ n: 1 });
    await pair.host.advance(1_000);
    expect(pair.sessions[0]?.events).toEqual(['closed crashed']);
    expect(pair.faults).toEqual([new Error('a defect')]);
    expect(pair.client.state).toBe('open');
  });

  it('a client whose handler throws', async () => {
    const pair = await openPair({
      client: {
        onMessage() {
          throw new Error('a defect');
        },
      },
    });
    pair.session().session.send({ n: 1 });
    await pair.host.advance(1_000);
    expect(pair.sessions[0]?.events).toEqual(['closed peer: crashed']);
    expect(numbers(pair.sessions[0]?.undelivered ?? [])).toEqual([1]);
    expect(pair.faults).toEqual([new Error('a defect')]);
  });

  it('a session without onMessage is a defect that shows', async () => {
    const pair = await openPair({ server: { onSession: () => undefined } });
    pair.client.send({ n: 1 });
    await pair.host.advance(10);
    expect(String(pair.faults[0])).toContain('has no onMessage');
  });

  it('onSession that throws', async () => {
    const pair = await openPair({
      server: {
        onSession() {
          throw new Error('no room');
        },
      },
    });
    expect(pair.faults[0]).toEqual(new Error('no room'));
    expect(pair.events).toContain('suspended crashed');
  });

  it('a listener that throws harms neither the session nor the other listeners', async () => {
    const pair = await openPair({
      client: {
        onOpen() {
          throw new Error('a defect');
        },
      },
    });
    const heard: string[] = [];
    pair.session().session.onClosed(() => {
      throw new Error('another defect');
    });
    pair.session().session.onClosed((reason) => void heard.push(reason));
    pair.session().session.close('enough');
    expect(heard).toEqual(['enough']);
    expect(pair.faults).toEqual([new Error('a defect'), new Error('another defect')]);
  });

  it('frames that are none', async () => {
    const frames: [string, Uint8Array][] = [
      ['empty', new Uint8Array(0)],
      ['short', Uint8Array.of(KIND.data, 0)],
      ['huge', new Uint8Array(DEFAULT_LIMITS.frameBytes + 100).fill(KIND.data, 0, 1)],
    ];
    for (const [name, frame] of frames) {
      const pair = await openPair();
      pair.wire().inject('server', frame);
      await pair.host.advance(2_000);
      expect([name, pair.sessions[0]?.events]).toEqual([name, ['closed protocol']]);
      expect(pair.faults[0]).toBeInstanceOf(LinkViolation);
      pair.wire().inject('client', frame);
      await pair.host.advance(2_000);
      expect(pair.events.filter((event) => event === 'suspended protocol')).toHaveLength(2);
    }
  });
});

describe('goodbye', () => {
  it('of the client: what it sent before arrives, and the session is over at once', async () => {
    const pair = await openPair();
    for (const note of notes(1, 10)) pair.client.send(note);
    const closed = pair.client.close();
    expect(pair.client.send({ n: 11 })).toBe('closed');
    await pair.host.advance(100);
    await closed;
    expect(numbers(pair.session().received)).toEqual(numbers(notes(1, 10)));
    expect(pair.session().events).toEqual(['closed peer: closed']);
    expect(pair.client.state).toBe('closed');
    expect(pair.wires).toHaveLength(1);
  });

  it('of the client while it is suspended, or in the middle of a handshake', async () => {
    for (const ms of [0, 1, 2, 3, 30, 200]) {
      const pair = await openPair();
      pair.wire().cut();
      await pair.host.advance(ms);
      pair.client.send({ n: 1 });
      const closed = pair.client.close();
      await pair.host.advance(2_000);
      await closed;
      expect(pair.client.state).toBe('closed');
      expect(pair.lost.length + pair.session().received.length).toBeGreaterThan(0);
    }
  });

  it('of a client that nobody answers takes a second, not for ever', async () => {
    const pair = await openPair();
    pair.wire().freeze();
    let done = false;
    void pair.client.close().then(() => (done = true));
    await pair.host.advance(DEFAULT_LIMITS.farewellMs - 1);
    expect(done).toBe(false);
    await pair.host.advance(2);
    expect(done).toBe(true);
  });

  it('of the server: sessions end as shutdown, new sockets are turned away', async () => {
    const pair = await openPair();
    const closed = pair.server.close();
    await pair.host.advance(100);
    await closed;
    expect(pair.session().events).toEqual(['closed shutdown']);
    await pair.host.advance(10_000);
    expect(pair.sessions).toHaveLength(1);
    expect(pair.events.slice(0, 2)).toEqual(['open', 'suspended shutdown']);
    expect(pair.events.slice(2).every((event) => event === 'unreachable')).toBe(true);
  });

  it('of a server that nobody answers takes a second, and drops the sockets', async () => {
    const pair = await openPair();
    pair.wire().freeze();
    let done = false;
    void pair.server.close().then(() => (done = true));
    await pair.host.advance(DEFAULT_LIMITS.farewellMs - 1);
    expect([done, pair.wire().closedAt('server')]).toEqual([false, false]);
    await pair.host.advance(2);
    expect([done, pair.wire().closedAt('server')]).toEqual([true, true]);
  });

  it('of a session by its owner, with a reason', async () => {
    const pair = await openPair();
    pair.session().session.close('revoked');
    expect(pair.sessions[0]?.events).toEqual(['closed revoked']);
    await pair.host.advance(5);
    expect(pair.events).toEqual(['open', 'suspended revoked']);
  });
});
