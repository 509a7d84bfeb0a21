import { createHmac } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { auditCoin } from '#actors/quorum/audit-coin.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';

describe('the audit coin', () => {
  it.each([new Uint8Array(32).fill(9), new Uint8Array(100).fill(3)])('is HMAC-SHA-256 of the secret', (secret) => {
    for (const share of [0.3, 0.02]) {
      const coin = auditCoin(secret, share);
      for (let index = 0; index < 200; index++) {
        const mac = createHmac('sha256', secret).update(`audit ${JOB} ${index}`).digest();
        expect(coin(JOB, index)).toBe(mac.readUInt32BE(0) < share * 2 ** 32);
      }
    }
  });

  it('falls as often as it should, and never at 0', () => {
    const secret = new Uint8Array(32).fill(1);
    const half = auditCoin(secret, 0.5);
    const heads = Array.from({ length: 2_000 }, (_, index) => half(JOB, index)).filter(Boolean).length;
    expect(heads).toBeGreaterThan(900);
    expect(heads).toBeLessThan(1_100);
    expect(auditCoin(secret, 0)(JOB, 1)).toBe(false);
  });
});
