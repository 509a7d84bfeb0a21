import { describe, expect, it } from 'vitest';

import { signedBytes } from '#actors/contract/vote-batch.ts';
import { createVoteSigner } from '#agent/attempt/vote-signer.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

const key = generateKeyPair();
const vote = (n: number): Uint8Array => new TextEncoder().encode(`vote ${n}`);

/** A signer whose time passes by hand, and how often it signed. */
function signer(slots: number) {
  const timers: (() => void)[] = [];
  const signed: Uint8Array[] = [];
  const made = createVoteSigner({
    key: {
      sign(bytes) {
        signed.push(bytes);
        return key.sign(bytes);
      },
    },
    slots,
    after: (_, run) => timers.push(run),
  });
  return { sign: (n: number) => made.sign(vote(n)), signed, timers, pass: () => timers.splice(0).forEach((run) => run()) };
}

async function expectGood(n: number, answer: ReturnType<ReturnType<typeof signer>['sign']>): Promise<void> {
  const { signature, batch } = await answer;
  const bytes = signedBytes(vote(n), batch, sha256);
  expect(bytes !== null && verify(signature, bytes, key.publicKey)).toBe(true);
}

describe('the signer of votes', () => {
  it('signs votes that finish together once, and each is proven', async () => {
    const { sign, signed, pass } = signer(8);
    const answers = [0, 1, 2].map(sign);
    expect(signed).toHaveLength(0);
    pass();
    expect(signed).toHaveLength(1);
    for (const [n, answer] of answers.entries()) await expectGood(n, answer);
    expect((await answers[0])?.batch).toMatchObject({ size: 3, index: 0 });
  });

  it('signs a lone vote as itself, at once when nothing else can finish', async () => {
    const alone = signer(1);
    expect(await alone.sign(7)).toEqual({ signature: Buffer.from(key.sign(vote(7))).toString('hex') });
    expect(alone.timers).toHaveLength(0);
    const patient = signer(2);
    const answer = patient.sign(7);
    patient.pass();
    expect(await answer).toEqual({ signature: Buffer.from(key.sign(vote(7))).toString('hex') });
  });

  it('waits no longer when a batch is full, and begins anew', async () => {
    const { sign, signed, pass } = signer(1_000);
    const answers = Array.from({ length: 257 }, (_, n) => sign(n));
    expect(signed).toHaveLength(1);
    pass();
    expect(signed).toHaveLength(2);
    await expectGood(256, answers[256] ?? sign(0));
    await expectGood(255, answers[255] ?? sign(0));
  });
});
