import { afterEach, describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createCodec } from '#runtime/link/codec.ts';
import { HANDSHAKE, writeChallenge, type Challenge } from '#runtime/link/handshake.ts';
import { readHello, signWelcome, writeWelcome, type UnsignedWelcome } from '#runtime/link/handshake-v1.ts';
import { DEFAULT_LIMITS } from '#runtime/link/limits.ts';
import { type LinkPair, openPair as openPairUnchecked, type PairOptions, seededEntropy } from '#tests/support/link-pair.ts';
import { createWire } from '#tests/support/link-wire.ts';

const serverKey = generateKeyPair(seededEntropy(1));
const peerKey = generateKeyPair(seededEntropy(2));
const otherKey = generateKeyPair(seededEntropy(3));
const nonce = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const challenge: Challenge = { protocol: 1, serverKey: serverKey.publicKey, nonce: nonce(1) };
const welcome: UnsignedWelcome = { sessionId: 'cd'.repeat(16), generation: 3, lastSeqSeen: 9, resumed: true };

let pairs: LinkPair[] = [];

async function openPair(options: PairOptions = {}): Promise<LinkPair> {
  const pair = openPairUnchecked(options);
  pairs.push(pair);
  await pair.host.advance(10);
  return pair;
}

afterEach(async () => {
  for (const pair of pairs) await pair.close();
  pairs = [];
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
    for (const wire of pair.wires)
      expect(wire.sent.filter((frame) => frame.from === 'client' && frame.data[0] !== HANDSHAKE.hello2)).toEqual([]);
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
          if (from !== 'server' || data[0] !== HANDSHAKE.welcome2) return data;
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
