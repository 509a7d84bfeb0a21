import { describe, expect, it } from 'vitest';
import { backoffMs, pause, settlesWithin } from '#runtime/database/backoff.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

const BACKOFF = { minMs: 100, maxMs: 1_000, jitter: 0.2 };

describe('backoffMs', () => {
  it('doubles up to the largest wait', () => {
    expect([1, 2, 3, 4, 5, 6, 5_000].map((failures) => backoffMs(BACKOFF, failures, 0.5))).toEqual([
      100, 200, 400, 800, 1_000, 1_000, 1_000,
    ]);
  });

  it('varies by the jitter to both sides', () => {
    expect(backoffMs(BACKOFF, 1, 0)).toBe(80);
    expect(backoffMs(BACKOFF, 1, 0.999_999)).toBe(120);
  });
});

describe('on the host’s time', () => {
  it('pauses exactly as long as asked', async () => {
    const host = virtualHost(1);
    let over = false;
    void pause(host, 50).then(() => (over = true));
    await host.advance(49);
    expect(over).toBe(false);
    await host.advance(1);
    expect(over).toBe(true);
  });

  it('tells work that settles in time from work that does not', async () => {
    const host = virtualHost(1);
    const never = new Promise<void>(() => undefined);
    const answers = Promise.all([
      settlesWithin(host, 50, pause(host, 49)),
      settlesWithin(host, 50, Promise.reject(new Error('settled all the same'))),
      settlesWithin(host, 50, never),
    ]);
    await host.advance(50);
    expect(await answers).toEqual([true, true, false]);
  });
});
