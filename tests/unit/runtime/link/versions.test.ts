import { readFile } from 'node:fs/promises';

import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import { HANDSHAKE, readChallenge, writeChallenge } from '#runtime/link/handshake.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import { commonVersion, markNonce, noCommonVersion, rangeOf, type VersionRange } from '#runtime/link/version.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { GOLDEN_LIMITS, playGolden, type Recorded, replay } from '#tests/support/link-golden.ts';
import {
  decodeNote,
  type LinkPair,
  type Note,
  numbers,
  openPair as openPairUnchecked,
  type PairOptions,
  seededEntropy,
} from '#tests/support/link-pair.ts';

/**
 * Recorded with the release that spoke version 1 only: `server` between a client and a server of that release, `client` between
 * its client and a server that speaks version 2 as well.
 */
const golden = JSON.parse(await readFile(new URL('golden-v1.json', import.meta.url), 'utf8')) as Record<'server' | 'client', Recorded[]>;
const serverKey = generateKeyPair(seededEntropy(1));
const clientKey = generateKeyPair(seededEntropy(2));
const ALL = [1, 2, 3, 4, 5, 6, 7];

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

function steadyHost(): VirtualHost {
  return { ...virtualHost(1), random: () => 0.5 };
}

describe('a peer one release back', () => {
  it('that is a server: our client says to it, byte for byte, what its own release said', async () => {
    const host = steadyHost();
    const received: number[] = [];
    const events: string[] = [];
    const server = replay(host, golden.server, 'server');
    const client = createLinkClient<Note, Note>({
      host,
      connect: server.connect,
      peer: 'agent',
      key: clientKey,
      serverKey: serverKey.publicKey,
      hello: () => ({ who: 'agent' }),
      decode: decodeNote,
      limits: GOLDEN_LIMITS,
      entropy: seededEntropy(4),
      // In version 1 there is one lane, whatever the classifier says.
      lane: (note) => (note.n % 2 === 0 ? 'control' : 'data'),
      onOpen: ({ resumed }) => void events.push(resumed ? 'resumed' : 'open'),
      onMessage: (note) => void received.push(note.n),
      onFault: (error) => void events.push(String(error)),
    });
    await playGolden({ host, client, cut: server.cut });
    expect(received).toEqual(ALL.map((n) => 100 + n));
    expect(events).toEqual(['open', 'resumed']);
    expect(server.heard).toEqual(golden.server.filter((frame) => frame.from === 'client'));
    expect(host.pendingTimers).toBe(0);
  });

  it('that is a client: our server takes it in and speaks its version', async () => {
    const host = steadyHost();
    const received: number[] = [];
    const events: string[] = [];
    let session: LinkSession<Note, Note> | undefined;
    const server = createLinkServer<Note, Note>({
      host,
      key: serverKey,
      decode: decodeNote,
      limits: GOLDEN_LIMITS,
      entropy: seededEntropy(3),
      lane: (note) => (note.n % 2 === 0 ? 'control' : 'data'),
      authenticate: async () => ({ publicKey: clientKey.publicKey }),
      onSession(opened) {
        session = opened;
        opened.onMessage((note) => void received.push(note.n));
        opened.onResumed(() => events.push('resumed'));
        opened.onClosed((reason) => events.push(reason));
      },
      onFault: (_peer, error) => events.push(String(error)),
    });
    const client = replay(host, golden.client, 'client');
    server.accept(client.connect());
    const cut = (): void => {
      client.cut();
      // It dials again: its first word there comes after the challenge, which came when the socket opened.
      const first = golden.client.find((frame) => frame.wire === 1);
      host.scheduler.after((first?.at ?? 0) - host.clock.now(), () => server.accept(client.connect()));
    };
    await playGolden({
      host,
      cut,
      session: () => {
        if (session === undefined) throw new Error('no session');
        return session;
      },
    });
    expect(received).toEqual(ALL);
    expect(events).toEqual(['resumed', 'peer: closed']);
    expect(client.heard).toEqual(golden.client.filter((frame) => frame.from === 'server'));
    await server.close();
    expect(host.pendingTimers).toBe(0);
  });

  it('speaks with us in both directions through cuts, also when it is told of two lanes', async () => {
    for (const side of ['client', 'server'] as const) {
      const pair = await openPair({
        [side]: { versions: { min: 1, max: 1 } },
        client: { ...(side === 'client' ? { versions: { min: 1, max: 1 } } : {}), lane: () => 'control' },
      });
      for (let n = 1; n <= 30; n++) {
        pair.client.send({ n, bytes: new Uint8Array(n * 1_000) });
        pair.session().session.send({ n });
        if (n % 10 === 0) pair.wire().cut();
        await pair.host.advance(n * 7);
      }
      await pair.host.advance(10_000);
      expect([pair.sessions.length, pair.faults]).toEqual([1, []]);
      expect(numbers(pair.session().received)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
      expect(numbers(pair.received)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    }
  });

  it('gets what was said before anybody knew that it has one lane only', async () => {
    const pair = openPairUnchecked({
      server: { versions: { min: 1, max: 1 } },
      client: { lane: (note) => (note.n > 1 ? 'control' : 'data') },
    });
    pairs.push(pair);
    for (const n of [1, 2, 3]) pair.client.send({ n });
    await pair.host.advance(10);
    expect(numbers(pair.session().received)).toEqual([2, 3, 1]);
    pair.client.send({ n: 4 });
    await pair.host.advance(10);
    expect(numbers(pair.session().received)).toEqual([2, 3, 1, 4]);
  });
});

describe('the version', () => {
  const range = fc
    .tuple(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 1, max: 255 }))
    .map(([a, b]): VersionRange => ({ min: Math.min(a, b), max: Math.max(a, b) }));

  it('is the highest that both speak, the same from either side', () => {
    fc.assert(
      fc.property(range, range, (one, other) => {
        const common = commonVersion(one, other);
        expect(commonVersion(other, one)).toBe(common);
        const both = (v: number): boolean => [one, other].every(({ min, max }) => min <= v && v <= max);
        const spoken = Array.from({ length: 255 }, (_, i) => i + 1).filter(both);
        expect(common).toBe(spoken.at(-1));
        expect(noCommonVersion(one, other).length).toBeLessThanOrEqual(64);
      }),
      { seed: 1 },
    );
  });

  it('is read from the nonce; a nonce without the mark means the challenge’s own', () => {
    fc.assert(
      fc.property(range, fc.uint8Array({ minLength: 32, maxLength: 32 }), (spoken, nonce) => {
        expect(rangeOf({ protocol: spoken.min, nonce: markNonce(nonce, spoken) })).toEqual(spoken);
        expect(markNonce(nonce, spoken)).toHaveLength(32);
        expect(rangeOf({ protocol: 1, nonce })).toEqual({ min: 1, max: 1 });
      }),
      { seed: 2 },
    );
  });

  it('that both ends of this release pick is the newest', async () => {
    const pair = await openPair();
    expect(pair.wire().sent.map(({ data }) => data[0])).toEqual([HANDSHAKE.challenge, HANDSHAKE.hello2, HANDSHAKE.welcome2]);
  });

  it.each<[string, VersionRange, VersionRange]>([
    ['2', { min: 2, max: 2 }, { min: 1, max: 1 }],
    ['1', { min: 1, max: 1 }, { min: 2, max: 2 }],
    ['3 to 4', { min: 3, max: 4 }, { min: 1, max: 2 }],
  ])('that a server of %s and its client do not share is refused with both ranges, on both sides', async (_name, server, client) => {
    const pair = await openPair({ server: { versions: server }, client: { versions: client } });
    const both = noCommonVersion(server, client);
    expect(pair.events[0]).toBe(`refused ${both}`);
    expect(pair.refusals[0]).toBe(`the socket closed: ${both}`);
    await pair.host.advance(5_000);
    // Not for good: whichever end is older may be upgraded meanwhile.
    expect(pair.client.state).toBe('connecting');
    expect(pair.wires.length).toBeGreaterThan(3);
  });

  it('cannot be talked down by somebody on the way', async () => {
    const pair = await openPair({
      wire: {
        tamper(data, from) {
          if (from !== 'server' || data[0] !== HANDSHAKE.challenge) return data;
          const challenge = readChallenge(data);
          return writeChallenge({ ...challenge, nonce: new Uint8Array(32).fill(7) });
        },
      },
    });
    expect(pair.sessions).toEqual([]);
    expect(pair.wire().sent[1]?.data[0]).toBe(HANDSHAKE.hello);
    expect(pair.refusals[0]).toBe('the signature is not by the key of this peer');
  });

  it('of a session stays: it is not resumed in another one', async () => {
    let max = 1;
    const pair = await openPair({
      client: {
        versions: {
          min: 1,
          get max() {
            return max;
          },
        },
      },
    });
    const first = pair.session().session.id;
    max = 2;
    pair.wire().cut();
    await pair.host.advance(1_000);
    expect(pair.sessions).toHaveLength(2);
    expect(pair.session().session.id).not.toBe(first);
  });
});
