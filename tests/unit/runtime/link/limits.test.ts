import { describe, expect, it } from 'vitest';

import { DEFAULT_LIMITS, largestFrame, linkLimits } from '#runtime/link/limits.ts';

describe('linkLimits', () => {
  it('answers the defaults, or what was changed', () => {
    expect(linkLimits()).toEqual(DEFAULT_LIMITS);
    expect(linkLimits({ pingAfterMs: 200 })).toEqual({ ...DEFAULT_LIMITS, pingAfterMs: 200 });
  });

  it('names the field that makes no sense', () => {
    const wrong = [
      { windowBytes: 0 },
      { ackAfterMs: -1 },
      { handshakeMs: Number.NaN },
      { keepSessionMs: Infinity },
      { deadAfterMs: 1_000 },
      { backoffMaxMs: 10 },
      { frameBytes: 100 },
    ];
    for (const change of wrong) {
      const [name] = Object.keys(change);
      expect(() => linkLimits(change)).toThrow(expect.objectContaining({ code: 'BAD_CONFIGURATION', path: `limits.${name}` }));
    }
  });

  it('knows the largest message that a WebSocket must let through', () => {
    expect(largestFrame()).toBeGreaterThan(DEFAULT_LIMITS.helloBytes);
    expect(largestFrame(linkLimits({ helloBytes: 2_000 }))).toBeGreaterThan(DEFAULT_LIMITS.frameBytes + 21);
  });
});
