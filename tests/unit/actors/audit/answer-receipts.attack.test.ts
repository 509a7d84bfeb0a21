import { describe, expect, it } from 'vitest';

import { falsehoodOf, isSignedBy, type SeenAnswer } from '#actors/audit/answer-check.ts';
import { GenerationEndedMessage } from '#actors/contract/generation.ts';
import { verifyAnswerReceipt } from '#actors/contract/verify-answer.ts';
import { createAnswerSigner } from '#agent/models/answer-signer.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';

import { ATTEMPT, DEVICE, generateKeyPair, receiptOf, REQUEST, restated, seenAnswer, signedBy, TEXT } from './signed-answers.ts';

const device = generateKeyPair();
const grid = generateKeyPair();
const other = generateKeyPair();
const tools = { sha256, verify, gridKey: grid.publicKey };
const failed = (receipt: unknown, text?: string): string[] =>
  verifyAnswerReceipt(receipt, tools, text === undefined ? {} : { text })
    .checks.filter(({ ok }) => !ok)
    .map(({ name }) => name);

describe('what a device signed about an answer', () => {
  it('is what it sent, of an answer that it began and of one that it took over', () => {
    expect(falsehoodOf(signedBy(device), seenAnswer())).toBeNull();
    const moved = seenAnswer({ tokensFrom: 1, textFrom: 3, text: ' two' });
    const signed = signedBy(device, moved);
    expect(falsehoodOf(signed, moved)).toBeNull();
    expect(isSignedBy(signed, device.publicKey)).toBe(true);
  });

  it('is signed by nobody when it failed, was cancelled, or its engine does not tell what it computed', () => {
    const counts = { promptTokens: 1, completionTokens: 0, retryable: false } as const;
    const signer = createAnswerSigner({ device: DEVICE, key: device }, { generation: ATTEMPT, model: 'aa', request: REQUEST });
    expect(signer.sign({ outcome: 'stop', ...counts })).toBeNull();
    expect(signer.sign({ outcome: 'cancelled', ...counts })).toBeNull();
    expect(signer.sign({ outcome: 'failed', code: 'ENGINE', reason: '', ...counts })).toBeNull();
  });

  it.each<[string, Partial<SeenAnswer>]>([
    ['a replayed receipt of another answer', { attempt: '00000000-0000-4000-8000-000000000002' }],
    ['another device', { device: 'dev-9876543210' }],
    ['another model', { model: 'ee'.repeat(32) }],
    ['another prompt', { request: { ...REQUEST, messages: [{ role: 'user', content: 'say something else' }] } }],
    ['another seed', { request: { ...REQUEST, sampling: { ...REQUEST.sampling, seed: 8 } } }],
    ['another token', { tokens: [5, 6, 8] }],
    ['truncated tokens', { tokens: [5, 6] }],
    ['another text', { text: 'one too' }],
    ['another end', { outcome: 'stop' }],
    ['another length of the prompt', { promptTokens: 5 }],
    ['an answer that began elsewhere', { tokensFrom: 1 }],
    ['a text that began elsewhere', { textFrom: 1 }],
  ])('is found out when it is about %s', (_what, changes) => {
    expect(falsehoodOf(signedBy(device), seenAnswer(changes))).toMatch(/^it signed another /);
  });

  it('is no signature of another key, of other words, or of another kind of paper', () => {
    const signed = signedBy(device);
    expect(isSignedBy(signed, other.publicKey)).toBe(false);
    expect(isSignedBy({ ...signed, statement: { ...signed.statement, seed: 8 } }, device.publicKey)).toBe(false);
    expect(isSignedBy({ ...signed, signature: '00'.repeat(64) }, device.publicKey)).toBe(false);
    const plain = new TextEncoder().encode(JSON.stringify(signed.statement));
    const elsewhere = Buffer.from(device.sign(plain)).toString('hex');
    expect(isSignedBy({ ...signed, signature: elsewhere }, device.publicKey)).toBe(false);
  });

  it('must fit its message: no more fields, no longer ones', () => {
    const message = {
      type: 'generationEnded', generation: ATTEMPT, outcome: 'length', promptTokens: 4, completionTokens: 3, retryable: false,
    } as const; // prettier-ignore
    const receipt = signedBy(device);
    expect(GenerationEndedMessage.safeParse({ ...message, receipt }).success).toBe(true);
    const bad: unknown[] = [
      { ...receipt, more: 1 },
      { ...receipt, signature: `${receipt.signature}00` },
      { ...receipt, statement: { ...receipt.statement, more: 1 } },
      { ...receipt, statement: { ...receipt.statement, engine: 'x'.repeat(201) } },
      { ...receipt, statement: { ...receipt.statement, temperature: Number.NaN } },
      { ...receipt, statement: { ...receipt.statement, completionTokens: -1 } },
      { ...receipt, statement: { ...receipt.statement, tokens: 'AB'.repeat(32) } },
    ];
    for (const wrong of bad) expect(GenerationEndedMessage.safeParse({ ...message, receipt: wrong }).success).toBe(false);
  });
});

describe('the receipt of an answer, offline', () => {
  const receipt = receiptOf(grid, device.publicKey, signedBy(device));

  it('is valid, and warns of what nobody checked', () => {
    const verdict = verifyAnswerReceipt(receipt, tools, { text: TEXT });
    expect(verdict).toMatchObject({ ok: true, warnings: [expect.stringContaining('unaudited') as string] });
    expect(verifyAnswerReceipt(receipt, { sha256, verify }).warnings).toHaveLength(3);
    const finding = { verdict: 'right' as const, why: 'near', auditors: ['dev-2222222222'], at: 2 };
    expect(verifyAnswerReceipt(receiptOf(grid, device.publicKey, signedBy(device), finding), tools, { text: TEXT }).warnings).toEqual([]);
  });

  it('covers the rest of a text that began elsewhere', () => {
    const moved = seenAnswer({ tokensFrom: 1, textFrom: 3, text: ' two' });
    const late = receiptOf(grid, device.publicKey, signedBy(device, moved));
    expect(failed(late, 'one two')).toEqual([]);
    expect(failed(late, 'one too')).toEqual(['answer-text']);
  });

  it('fails for a swapped answer, and for one that an audit found wrong', () => {
    expect(failed(receipt, `${TEXT}!`)).toEqual(['answer-text']);
    const finding = { verdict: 'wrong' as const, why: 'far', auditors: ['dev-2222222222', 'dev-3333333333'], at: 2 };
    expect(failed(receiptOf(grid, device.publicKey, signedBy(device), finding), TEXT)).toEqual(['audit']);
  });

  it('fails when a signature is forged, moved or made by another key', () => {
    expect(failed(receiptOf(other, device.publicKey, signedBy(device)))).toEqual(['grid-key']);
    expect(failed(receiptOf(grid, other.publicKey, signedBy(device)))).toEqual(['answer-signature']);
    expect(failed({ ...receipt, manifest: { ...receipt.manifest, tenant: 'other' } })).toEqual(['manifest-signature']);
    const restatement = restated(device, signedBy(device), { seed: 9 });
    expect(failed({ ...receipt, ...restatement })).toEqual(['manifest-signature']);
  });

  it('fails, and never throws, for whatever is no receipt', () => {
    const { statement: _statement, ...headless } = receipt;
    for (const nonsense of [null, 1, 'x', [], {}, headless, { ...receipt, extra: 1 }, { ...receipt, statement: null }])
      expect(failed(nonsense)).toEqual(['schema']);
  });
});
