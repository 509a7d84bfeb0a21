import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createCodec } from '#runtime/link/codec.ts';
import {
  readHello,
  readPayload,
  readRefused,
  readWelcome,
  signHello,
  signRefused,
  signWelcome,
  verifyHello,
  verifyRefused,
  verifyWelcome,
  writeChallenge,
  writePayload,
  writeWelcome,
  type Asked,
  type Challenge,
  type UnsignedHello,
  type UnsignedWelcome,
} from '#runtime/link/handshake.ts';
import { DEFAULT_LIMITS } from '#runtime/link/limits.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { type LinkPair, openPair as openPairUnchecked, type PairOptions, seededEntropy } from '#tests/support/link-pair.ts';
import { callAsStranger } from '#tests/support/link-stranger.ts';
import { createWire } from '#tests/support/link-wire.ts';

const serverKey = generateKeyPair(seededEntropy(1));
const peerKey = generateKeyPair(seededEntropy(2));
const otherKey = generateKeyPair(seededEntropy(3));
const nonce = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const challenge: Challenge = { protocol: 1, serverKey: serverKey.publicKey, nonce: nonce(1) };
const hello: UnsignedHello = {
  protocol: 1,
  peer: 'agent',
  bootId: 'boot',
  sessionId: 'ab'.repeat(16),
  lastSeqSeen: 7,
  nonce: nonce(2),
  payload: writePayload({ slots: 4 }),
};
const asked: Asked = { challenge, helloFrame: Uint8Array.of(17, 1, 2, 3) };
const welcome: UnsignedWelcome = { sessionId: 'cd'.repeat(16), generation: 3, lastSeqSeen: 9, resumed: true };

describe('signatures of the handshake', () => {
  it('hold for what was signed', () => {
    expect(verifyHello(signHello(hello, challenge, peerKey), challenge, peerKey.publicKey)).toBe(true);
    expect(verifyWelcome(signWelcome(welcome, asked, serverKey), asked, serverKey.publicKey)).toBe(true);
    expect(verifyRefused(signRefused('stale', asked, serverKey), asked, serverKey.publicKey)).toBe(true);
  });

  it('of a hello cover every field of it, the challenge and both keys', () => {
    const signed = signHello(hello, challenge, peerKey);
    const changes: Partial<UnsignedHello>[] = [
      { protocol: 2 },
      { peer: 'agent2' },
      { bootId: 'boot2' },
      { sessionId: null },
      { lastSeqSeen: 8 },
      { nonce: nonce(3) },
      { payload: writePayload({ slots: 5 }) },
      // The border between two fields moves, the bytes together stay the same.
      { peer: 'agentb', bootId: 'oot' },
    ];
    for (const change of changes) expect(verifyHello({ ...signed, ...change }, challenge, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, nonce: nonce(9) }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, serverKey: otherKey.publicKey }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, protocol: 2 }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, challenge, otherKey.publicKey)).toBe(false);
  });

  it('of the server cover its answer, its challenge and the bytes of the hello', () => {
    const signed = signWelcome(welcome, asked, serverKey);
    const changes: Partial<UnsignedWelcome>[] = [{ sessionId: 'ce'.repeat(16) }, { generation: 4 }, { lastSeqSeen: 8 }, { resumed: false }];
    for (const change of changes) expect(verifyWelcome({ ...signed, ...change }, asked, serverKey.publicKey)).toBe(false);
    const others: Asked[] = [
      { challenge, helloFrame: Uint8Array.of(17, 1, 2, 4) },
      { challenge: { ...challenge, nonce: nonce(9) }, helloFrame: asked.helloFrame },
    ];
    for (const other of others) {
      expect(verifyWelcome(signed, other, serverKey.publicKey)).toBe(false);
      expect(verifyRefused(signRefused('stale', asked, serverKey), other, serverKey.publicKey)).toBe(false);
    }
    expect(verifyRefused({ ...signRefused('stale', asked, serverKey), reason: 'unauthenticated' }, asked, serverKey.publicKey)).toBe(false);
    expect(verifyWelcome(signed, asked, otherKey.publicKey)).toBe(false);
  });
});

let pairs: LinkPair[] = [];

async function openPair(options: PairOptions = {}): Promise<LinkPair> {
  const pair = openPairUnchecked(options);
  pairs.push(pair);
  await pair.host.advance(10);
  return pair;
}

/** A server to knock at; its own client does not get in the way. */
function openServer(options: PairOptions = {}): Promise<LinkPair> {
  return openPair({ ...options, connect: () => new Promise<never>(() => undefined) });
}

afterEach(async () => {
  for (const pair of pairs) await pair.close();
  pairs = [];
});

describe('the server at the door', () => {
  it('lets in who proves the enrolled key, and proves its own', async () => {
    const pair = await openServer();
    const stranger = await callAsStranger(pair);
    const frame = stranger.hello();
    await stranger.send(frame);
    const answer = readWelcome(stranger.heard[1] ?? new Uint8Array(0));
    expect(answer).toMatchObject({ generation: 1, lastSeqSeen: 0, resumed: false });
    expect(verifyWelcome(answer, { challenge: stranger.challenge, helloFrame: frame }, pair.serverKey.publicKey)).toBe(true);
    expect(pair.session().session.hello).toEqual({ who: 'stranger' });
  });

  it('tells an unknown peer, a wrong key and a changed hello the same', async () => {
    const pair = await openServer();
    const answers: unknown[] = [];
    const attempts: ((stranger: Awaited<ReturnType<typeof callAsStranger>>) => Uint8Array)[] = [
      (stranger) => stranger.hello({ peer: 'nobody' }),
      (stranger) => stranger.hello({}, otherKey),
      (stranger) => {
        const frame = stranger.hello();
        const { signature, ...fields } = readHello(frame);
        return Buffer.concat([Uint8Array.of(17), createCodec().encode({ ...fields, lastSeqSeen: 1, signature })]);
      },
    ];
    for (const attempt of attempts) {
      const stranger = await callAsStranger(pair);
      const frame = attempt(stranger);
      await stranger.send(frame);
      const refused = readRefused(stranger.heard[1] ?? new Uint8Array(0));
      expect(verifyRefused(refused, { challenge: stranger.challenge, helloFrame: frame }, pair.serverKey.publicKey)).toBe(true);
      answers.push([refused.reason, stranger.heard.length, stranger.heard[1]?.length, stranger.closed]);
    }
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(answers[0]).toEqual(['unauthenticated', 2, expect.any(Number), true]);
    expect(pair.refusals).toEqual([
      'nobody of that name',
      'the signature is not by the key of this peer',
      'the signature is not by the key of this peer',
    ]);
    expect(pair.sessions).toEqual([]);
  });

  it('does not take a recorded hello', async () => {
    const pair = await openServer();
    const first = await callAsStranger(pair);
    const recorded = first.hello();
    await first.send(recorded);
    expect(pair.sessions).toHaveLength(1);
    const second = await callAsStranger(pair);
    await second.send(recorded);
    expect(readRefused(second.heard[1] ?? new Uint8Array(0)).reason).toBe('unauthenticated');
    expect(pair.sessions[0]?.events).toEqual([]);
  });

  it('takes keys as bytes, and none that is malformed', async () => {
    const enrolled = (await openServer()).clientKey.publicKey;
    for (const [publicKey, enters] of [
      [Buffer.from(enrolled, 'hex'), true],
      ['zz', false],
      [new Uint8Array(3), false],
    ] as const) {
      const pair = await openServer({ server: { authenticate: async () => ({ publicKey }) } });
      const stranger = await callAsStranger(pair);
      await stranger.send(stranger.hello());
      expect(pair.sessions.length === 1).toBe(enters);
    }
  });

  it('names a version that it does not speak, and a look-up that failed', async () => {
    const pair = await openServer({ server: { authenticate: () => Promise.reject(new Error('the database is away')) } });
    const modern = await callAsStranger(pair);
    await modern.send(modern.hello({ protocol: 2 }));
    expect(readRefused(modern.heard[1] ?? new Uint8Array(0)).reason).toBe('version');
    const unlucky = await callAsStranger(pair);
    await unlucky.send(unlucky.hello());
    expect(readRefused(unlucky.heard[1] ?? new Uint8Array(0)).reason).toBe('unavailable');
    expect(pair.refusals[1]).toContain('the database is away');
  });

  it('waits 5 s and no longer', async () => {
    const pair = await openServer();
    const stranger = await callAsStranger(pair);
    await pair.host.advance(DEFAULT_LIMITS.handshakeMs - 10);
    expect(stranger.closed).toBe(false);
    await pair.host.advance(20);
    expect(stranger.closed).toBe(true);
    expect(pair.refusals).toEqual(['the handshake took too long']);
  });

  it('drops who sends anything else, without an answer', async () => {
    const pair = await openServer();
    const hellos = [
      new Uint8Array(0),
      Uint8Array.of(17),
      Uint8Array.of(1, 2, 3),
      Buffer.alloc(DEFAULT_LIMITS.helloBytes + 1, 17),
      Buffer.concat([Uint8Array.of(17), createCodec().encode({ peer: 'agent' })]),
    ];
    for (const bytes of hellos) {
      const stranger = await callAsStranger(pair);
      await stranger.send(bytes);
      expect(stranger.heard).toHaveLength(1);
      expect(stranger.closed).toBe(true);
    }
  });

  it('survives whatever bytes come first', async () => {
    const pair = await openServer();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (noise) => {
        const stranger = await callAsStranger(pair);
        await stranger.send(noise);
        expect([pair.sessions.length, stranger.closed]).toEqual([0, true]);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it('lets nothing in that differs from what was signed by a single bit', async () => {
    const pair = await openServer();
    const length = (await callAsStranger(pair)).hello().length;
    let entered = 0;
    for (let at = 0; at < length; at++) {
      const stranger = await callAsStranger(pair);
      const signed = stranger.hello();
      const bytes = Uint8Array.from(signed);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      await stranger.send(bytes);
      if (pair.sessions.length === entered) continue;
      // Another spelling of the same fields; the answer covers the spelling, so the true client would refuse it.
      entered += 1;
      expect(readHello(Buffer.from(bytes))).toEqual(readHello(signed));
      const answer = readWelcome(stranger.heard[1] ?? new Uint8Array(0));
      expect(verifyWelcome(answer, { challenge: stranger.challenge, helloFrame: signed }, pair.serverKey.publicKey)).toBe(false);
    }
    expect(length).toBeGreaterThan(200);
    expect(entered).toBeLessThan(10);
  });

  it('runs a bounded number of handshakes at once', async () => {
    const pair = await openServer({ limits: { handshakes: 2 } });
    await callAsStranger(pair);
    const second = await callAsStranger(pair);
    await expect(callAsStranger(pair)).rejects.toThrow(LinkViolation);
    await second.send(second.hello());
    await callAsStranger(pair);
    expect(pair.sessions).toHaveLength(1);
  });

  it('lets the later hello win, whichever look-up is quicker', async () => {
    const gates: (() => void)[] = [];
    const pair = await openServer({
      server: {
        authenticate: async () => {
          await new Promise<void>((resolve) => gates.push(resolve));
          return { publicKey: pair.clientKey.publicKey };
        },
      },
    });
    const slow = await callAsStranger(pair);
    await slow.send(slow.hello());
    const quick = await callAsStranger(pair);
    await quick.send(quick.hello());
    gates[1]?.();
    await pair.host.advance(5);
    expect(readWelcome(quick.heard[1] ?? new Uint8Array(0)).generation).toBe(2);
    gates[0]?.();
    await pair.host.advance(5);
    expect(readRefused(slow.heard[1] ?? new Uint8Array(0)).reason).toBe('stale');
    expect(pair.sessions).toHaveLength(1);
    expect(pair.session().events).toEqual([]);
  });

  it('forgets a stranger who left while it was being looked up', async () => {
    let open: (() => void) | undefined;
    const pair = await openServer({
      server: {
        authenticate: async () => {
          await new Promise<void>((resolve) => (open = resolve));
          return { publicKey: pair.clientKey.publicKey };
        },
      },
    });
    const stranger = await callAsStranger(pair);
    await stranger.send(stranger.hello());
    stranger.wire.cut();
    await pair.host.advance(5);
    open?.();
    await pair.host.advance(5);
    expect(pair.sessions).toEqual([]);
  });

  it('resumes for the same process only, and only where the numbers fit', async () => {
    const pair = await openServer();
    const first = await callAsStranger(pair);
    await first.send(first.hello());
    const { sessionId } = readWelcome(first.heard[1] ?? new Uint8Array(0));
    first.wire.cut();
    await pair.host.advance(10);
    const resume = async (changes: Partial<UnsignedHello>): Promise<boolean> => {
      const stranger = await callAsStranger(pair);
      await stranger.send(stranger.hello({ sessionId, ...changes }));
      const answer = readWelcome(stranger.heard[1] ?? new Uint8Array(0));
      stranger.wire.cut();
      await pair.host.advance(10);
      return answer.resumed;
    };
    expect(await resume({})).toBe(true);
    expect(await resume({})).toBe(true);
    expect(await resume({ lastSeqSeen: 1 })).toBe(false);
    expect(pair.sessions).toHaveLength(2);
    expect(await resume({})).toBe(false);
    const [, , third] = pair.sessions;
    expect(await resume({ sessionId: third?.session.id ?? '', bootId: 'another' })).toBe(false);
  });
});

describe('the client at the door', () => {
  it('says nothing to a server that shows another key', async () => {
    const pair = await openPair({ client: { serverKey: otherKey.publicKey } });
    await pair.host.advance(3_000);
    expect(pair.events[0]).toBe('refused wrong-server');
    expect(new Set(pair.events)).toEqual(new Set(['refused wrong-server']));
    expect(pair.wires.length).toBeGreaterThan(3);
    for (const wire of pair.wires) expect(wire.sent.filter((frame) => frame.from === 'client')).toEqual([]);
    expect(pair.client.state).toBe('connecting');
  });

  it('sends nothing but the hello to a server that shows the right key and does not have it', async () => {
    const pinned = otherKey.publicKey;
    const pair = await openPair({
      // The challenge of an impostor: the pinned public key is no secret.
      server: { key: { publicKey: pinned, sign: (bytes) => serverKey.sign(bytes) } },
      client: { serverKey: pinned, key: peerKey },
    });
    pair.client.send({ n: 1 });
    await pair.host.advance(3_000);
    expect(new Set(pair.events)).toEqual(new Set(['unreachable']));
    for (const wire of pair.wires) expect(wire.sent.filter((frame) => frame.from === 'client' && frame.data[0] !== 17)).toEqual([]);
  });

  it('does not believe a refusal that the server did not sign', async () => {
    const pair = await openPair({
      wire: {
        tamper: (data, from) => {
          if (from !== 'server' || data[0] === 16) return data;
          return Buffer.concat([Uint8Array.of(19), createCodec().encode({ reason: 'unauthenticated', signature: new Uint8Array(64) })]);
        },
      },
    });
    await pair.host.advance(30_000);
    expect(new Set(pair.events)).toEqual(new Set(['unreachable']));
    expect(pair.client.state).toBe('connecting');
  });

  it('does not believe a welcome that was recorded', async () => {
    let recorded: Uint8Array | undefined;
    const pair = await openPair({
      wire: {
        tamper: (data, from) => {
          if (from !== 'server' || data[0] !== 18) return data;
          recorded ??= data;
          return recorded;
        },
      },
    });
    expect(pair.events).toEqual(['open']);
    pair.wire().cut();
    await pair.host.advance(20_000);
    expect(new Set(pair.events.slice(2))).toEqual(new Set(['unreachable']));
  });

  it('believes the fifth refusal in a row, and then stops', async () => {
    const pair = await openPair({ client: { key: otherKey } });
    pair.client.send({ n: 1 });
    await pair.host.advance(60_000);
    expect(pair.events).toEqual([...Array.from({ length: 4 }, () => 'refused unauthenticated'), 'refused unauthenticated for good']);
    expect(pair.wires).toHaveLength(5);
    expect(pair.client.state).toBe('closed');
    expect(pair.client.send({ n: 2 })).toBe('closed');
    expect(pair.lost).toEqual([{ n: 1 }]);
  });

  it('counts refusals in a row only: a welcome in between starts the count anew', async () => {
    let known = false;
    const pair = await openPair({
      server: { authenticate: async () => (known ? { publicKey: pair.clientKey.publicKey } : { refuse: 'not yet' }) },
    });
    const refused = (): number => pair.events.filter((event) => event === 'refused unauthenticated').length;
    for (let round = 1; round <= 3; round++) {
      while (refused() < round * 3) await pair.host.advance(20);
      known = true;
      while (pair.client.state !== 'open') await pair.host.advance(20);
      known = false;
      pair.wire().cut();
      await pair.host.advance(5);
    }
    expect(pair.events).not.toContain('refused unauthenticated for good');
  });

  it('goes on trying while the server cannot look it up, and gets in when it can', async () => {
    let away = true;
    const pair = await openPair({
      server: {
        authenticate: async () => {
          if (away) throw new Error('the database is away');
          return { publicKey: pair.clientKey.publicKey };
        },
      },
    });
    await pair.host.advance(30_000);
    expect(pair.events.length).toBeGreaterThan(6);
    expect(new Set(pair.events)).toEqual(new Set(['refused unavailable']));
    away = false;
    await pair.host.advance(8_000);
    expect(pair.events.at(-1)).toBe('open');
  });

  it('waits longer from attempt to attempt, each time a bit differently, up to about 5 s', async () => {
    const at: number[] = [];
    const pair = await openPair({
      connect({ host }) {
        at.push(host.clock.now());
        throw new Error('refused');
      },
    });
    await pair.host.advance(60_000);
    const pauses = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    expect(pauses.length).toBeGreaterThan(12);
    pauses.forEach((pause, i) => {
      const middle = Math.min(5_000, 50 * 2 ** i);
      expect(pause).toBeGreaterThanOrEqual(middle * 0.5);
      expect(pause).toBeLessThanOrEqual(middle * 1.5);
    });
    expect(new Set(pauses).size).toBe(pauses.length);
  });

  it('gives a connection up that does not get anywhere in 5 s, and closes one that comes too late', async () => {
    let open: (() => void) | undefined;
    const pair = await openPair({
      async connect({ dial }) {
        await new Promise<void>((resolve) => (open = resolve));
        return dial().client;
      },
    });
    await pair.host.advance(DEFAULT_LIMITS.handshakeMs - 20);
    expect(pair.events).toEqual([]);
    await pair.host.advance(20);
    expect(pair.events).toEqual(['unreachable']);
    open?.();
    await pair.host.advance(10);
    expect(pair.wires).toHaveLength(1);
    expect(pair.wire().closed).toBe(true);
    expect(pair.sessions).toEqual([]);
  });

  it('takes a hello that is too large for a failed attempt', async () => {
    const failures: unknown[] = [];
    await openPair({
      client: { hello: () => ({ large: new Uint8Array(3_000_000) }), onUnreachable: (error) => void failures.push(error) },
    });
    expect(String(failures[0])).toContain('The hello has 3000');
  });

  it('starts anew when the server resumes a session that is not ours', async () => {
    const hellos: (string | null)[] = [];
    const faults: unknown[] = [];
    const pair = await openPair({
      connect({ host }) {
        const wire = createWire({ host });
        wire.server.onMessage((helloFrame) => {
          hellos.push(readHello(helloFrame).sessionId);
          const answer = { ...welcome, lastSeqSeen: 0, resumed: hellos.length % 2 === 0 };
          // Right session, but it claims to have delivered what was never sent.
          const claim = hellos.length === 2 ? { ...answer, lastSeqSeen: 5 } : { ...answer, sessionId: `${hellos.length}`.repeat(32) };
          wire.server.send(writeWelcome(signWelcome(claim, { challenge, helloFrame }, serverKey)));
          host.scheduler.after(20, () => wire.cut());
        });
        wire.server.send(writeChallenge(challenge));
        return wire.client;
      },
      client: { serverKey: serverKey.publicKey, onFault: (error) => void faults.push(error) },
    });
    await pair.host.advance(400);
    expect(hellos.slice(0, 3)).toEqual([null, '1'.repeat(32), null]);
    expect(String(faults[0])).toContain('does not fit ours');
    expect(pair.events.slice(0, 3)).toEqual(['open', 'suspended disconnected', 'open']);
  });
});

describe('hostile handshake frames', () => {
  it('are refused by every reader, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(16, 17, 18, 19), (body, kind) => {
        const frame = Buffer.concat([Uint8Array.of(kind), body]);
        for (const read of [readHello, readWelcome, readRefused, readPayload]) {
          try {
            read(frame);
          } catch (error) {
            expect(error).toBeInstanceOf(LinkViolation);
          }
        }
      }),
      { seed: 6, numRuns: 2_000 },
    );
  });
});
