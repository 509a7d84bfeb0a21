import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createCodec } from '#runtime/link/codec.ts';
import { readRefused, verifyRefused, writePayload } from '#runtime/link/handshake.ts';
import { readHello, readWelcome, verifyWelcome, type UnsignedHello } from '#runtime/link/handshake-v1.ts';
import { DEFAULT_LIMITS } from '#runtime/link/limits.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { type LinkPair, openPair as openPairUnchecked, type PairOptions, seededEntropy } from '#tests/support/link-pair.ts';
import { callAsStranger } from '#tests/support/link-stranger.ts';

const otherKey = generateKeyPair(seededEntropy(3));

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
    await modern.send(modern.hello({ protocol: 7 }));
    expect(readRefused(modern.heard[1] ?? new Uint8Array(0)).reason).toBe('version: the server speaks 1 to 2, the client 7');
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

  it('does not read a hello that is too large, true as it may be', async () => {
    const pair = await openServer({ limits: { helloBytes: 10_000 } });
    const stranger = await callAsStranger(pair);
    await stranger.send(stranger.hello({ payload: writePayload(new Uint8Array(10_000)) }));
    expect([pair.sessions.length, stranger.closed]).toEqual([0, true]);
    expect(pair.refusals[0]).toContain('over the limit of 10000');
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
