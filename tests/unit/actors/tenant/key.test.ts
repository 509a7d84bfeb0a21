import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { equalSecrets, isEnrolmentToken, makeApiKey, makeEnrolmentToken, parseApiKey, secretHash } from '#actors/tenant/key.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';

/** Answers these bytes over and over. */
function bytesOf(...pattern: number[]): (count: number) => Uint8Array {
  let at = 0;
  return (count) => Uint8Array.from({ length: count }, () => pattern[at++ % pattern.length] ?? 0);
}

describe('an API key', () => {
  it('has its documented form, and its id can be read from it', () => {
    const { id, key, hash } = makeApiKey(randomBytes, sha256);
    expect(key).toMatch(/^cg_[0-9A-Za-z]{16}_[0-9A-Za-z]{32}$/);
    expect(parseApiKey(key)).toEqual({ id });
    expect(key.startsWith(`cg_${id}_`)).toBe(true);
    expect(hash).toBe(sha256Hex(new TextEncoder().encode(key)));
    expect(secretHash(key, sha256)).toBe(hash);
  });

  it('is never the same twice', () => {
    const keys = Array.from({ length: 200 }, () => makeApiKey(randomBytes, sha256));
    for (const field of ['id', 'key', 'hash'] as const) expect(new Set(keys.map((k) => k[field])).size).toBe(200);
  });

  it('is made of the injected bytes', () => {
    expect(makeApiKey(bytesOf(0, 61, 62, 247), sha256).key).toBe(`cg_${'0z0z'.repeat(4)}_${'0z0z'.repeat(8)}`);
  });

  it('uses no byte that would favour some characters', () => {
    expect(makeApiKey(bytesOf(248, 255, 1), sha256).id).toBe('1'.repeat(16));
    const counts = new Map<string, number>();
    for (let i = 0; i < 1000; i++)
      for (const c of makeEnrolmentToken(randomBytes, sha256).token.slice(4)) counts.set(c, (counts.get(c) ?? 0) + 1);
    // 32,000 draws over 62 characters: 516 each; the standard deviation is 23, so 150 off would be six of them.
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - 516)).toBeLessThan(150);
  });

  it.each([
    '',
    'cg_',
    'cg_0000000000000000',
    `cg_${'0'.repeat(16)}_${'0'.repeat(31)}`,
    `cg_${'0'.repeat(16)}_${'0'.repeat(33)}`,
    `xx_${'0'.repeat(16)}_${'0'.repeat(32)}`,
    `cg_${'0'.repeat(15)}-_${'0'.repeat(32)}`,
    `cg_${'0'.repeat(16)}_${'0'.repeat(32)}\n`,
  ])('is not %j', (text) => {
    expect(parseApiKey(text)).toBeNull();
  });
});

describe('an enrolment token', () => {
  it('has its documented form and is no API key', () => {
    const { token, hash } = makeEnrolmentToken(randomBytes, sha256);
    expect(token).toMatch(/^cgt_[0-9A-Za-z]{32}$/);
    expect(isEnrolmentToken(token)).toBe(true);
    expect(parseApiKey(token)).toBeNull();
    expect(hash).toBe(secretHash(token, sha256));
  });

  it('is not an API key, nor anything else', () => {
    for (const text of ['', 'cgt_', `cgt_${'0'.repeat(31)}`, `cgt_${'0'.repeat(32)} `, makeApiKey(randomBytes, sha256).key])
      expect(isEnrolmentToken(text)).toBe(false);
  });
});

describe('comparing', () => {
  it('tells equal from unequal, whatever the lengths', () => {
    expect(equalSecrets('', '')).toBe(true);
    expect(equalSecrets('abc', 'abc')).toBe(true);
    expect(equalSecrets('é', 'é')).toBe(true);
    for (const [a, b] of [
      ['abc', 'abd'],
      ['abc', 'Abc'],
      ['abc', 'ab'],
      ['ab', 'abc'],
      ['', 'a'],
      ['a', ''],
      ['abc', 'abc\0'],
    ] as const)
      expect(equalSecrets(a, b)).toBe(false);
  });
});
