import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Presence, PresenceEntry } from '#runtime/presence/presence.ts';

/** A presence and the time it lives in. */
export interface PresenceUnderTest {
  readonly presence: Presence;
  /** Lets that much time pass, and whatever falls due happen. */
  advance(ms: number): Promise<void>;
  /** How late a wake-up may be. */
  readonly toleranceMs: number;
  /** Fails when the closed presence left anything behind. */
  checkLeaks(): void | Promise<void>;
}

/** What every implementation of Presence promises. */
export function presenceContract(name: string, make: () => PresenceUnderTest | Promise<PresenceUnderTest>): void {
  describe(`presence: ${name}`, () => {
    let test: PresenceUnderTest;
    let presence: Presence;
    let due: PresenceEntry[];

    beforeEach(async () => {
      test = await make();
      presence = test.presence;
      due = [];
      presence.onDue((batch) => due.push(...batch));
    });

    afterEach(async () => {
      presence.close();
      await test.checkLeaks();
    });

    it('hands an entry over once, not early, and at most the tolerance late', async () => {
      await presence.set('a', 't1', 10_000);
      await test.advance(9_999);
      expect(due).toEqual([]);
      await test.advance(1 + test.toleranceMs);
      expect(due).toEqual([{ id: 'a', token: 't1' }]);
      await test.advance(60_000);
      expect(due).toHaveLength(1);
    });

    it('waits for a short time and for a long one', async () => {
      const times = { short: 1, minute: 60_000, hour: 3_600_000 };
      for (const [id, ttlMs] of Object.entries(times)) await presence.set(id, 't', ttlMs);
      await test.advance(1 + test.toleranceMs);
      expect(due.map((entry) => entry.id)).toEqual(['short']);
      await test.advance(59_998 - test.toleranceMs);
      expect(due).toHaveLength(1);
      await test.advance(1 + test.toleranceMs);
      expect(due.map((entry) => entry.id)).toEqual(['short', 'minute']);
      await test.advance(3_600_000 - 60_000 - 1 - test.toleranceMs);
      expect(due).toHaveLength(2);
      await test.advance(1 + test.toleranceMs);
      expect(due.map((entry) => entry.id)).toEqual(['short', 'minute', 'hour']);
    });

    it('starts the time anew with every renewal', async () => {
      await presence.set('a', 't1', 1_000);
      for (let i = 0; i < 20; i++) {
        await test.advance(900);
        expect(await presence.renew([{ id: 'a', token: 't1', ttlMs: 1_000 }])).toEqual([true]);
      }
      expect(due).toEqual([]);
      await test.advance(1_000 + test.toleranceMs);
      expect(due).toHaveLength(1);
    });

    it('renews to a shorter time as well', async () => {
      await presence.set('a', 't1', 100_000);
      expect(await presence.renew([{ id: 'a', token: 't1', ttlMs: 500 }])).toEqual([true]);
      await test.advance(500 + test.toleranceMs);
      expect(due).toHaveLength(1);
    });

    it('answers each renewal for itself, in order', async () => {
      await presence.set('a', 't1', 1_000);
      await presence.set('b', 't2', 1_000);
      const renewals = [
        { id: 'a', token: 't1', ttlMs: 5_000 },
        { id: 'missing', token: 't1', ttlMs: 5_000 },
        { id: 'b', token: 'stale', ttlMs: 5_000 },
      ];
      expect(await presence.renew(renewals)).toEqual([true, false, false]);
      expect(await presence.renew([])).toEqual([]);
      await test.advance(1_000 + test.toleranceMs);
      expect(due).toEqual([{ id: 'b', token: 't2' }]);
    });

    it('knows only the token that was set last', async () => {
      await presence.set('a', 'old', 1_000);
      await presence.set('a', 'new', 2_000);
      expect(await presence.renew([{ id: 'a', token: 'old', ttlMs: 9_000 }])).toEqual([false]);
      expect(await presence.remove('a', 'old')).toBe(false);
      await test.advance(1_000 + test.toleranceMs);
      expect(due).toEqual([]);
      await test.advance(1_000);
      expect(due).toEqual([{ id: 'a', token: 'new' }]);
    });

    it('sets again to a shorter time', async () => {
      await presence.set('a', 't1', 50_000);
      await presence.set('a', 't2', 100);
      await test.advance(100 + test.toleranceMs);
      expect(due).toEqual([{ id: 'a', token: 't2' }]);
    });

    it('says nothing of what was removed', async () => {
      await presence.set('a', 't1', 1_000);
      expect(await presence.remove('a', 't1')).toBe(true);
      expect(await presence.remove('a', 't1')).toBe(false);
      expect(await presence.renew([{ id: 'a', token: 't1', ttlMs: 1_000 }])).toEqual([false]);
      await test.advance(5_000);
      expect(due).toEqual([]);
    });

    it('has forgotten what it handed over', async () => {
      await presence.set('a', 't1', 1_000);
      await test.advance(1_000 + test.toleranceMs);
      expect(await presence.renew([{ id: 'a', token: 't1', ttlMs: 1_000 }])).toEqual([false]);
      expect(await presence.remove('a', 't1')).toBe(false);
      await presence.set('a', 't2', 1_000);
      await test.advance(1_000 + test.toleranceMs);
      expect(due.map((entry) => entry.token)).toEqual(['t1', 't2']);
    });

    it('keeps many apart', async () => {
      const ttlOf = (i: number): number => 100 + ((i * 7919) % 20_000);
      for (let i = 0; i < 2_000; i++) await presence.set(`d${i}`, String(i), ttlOf(i));
      const renewed = new Set(Array.from({ length: 2_000 }, (_, i) => i).filter((i) => i % 3 === 0));
      await test.advance(50);
      await presence.renew([...renewed].map((i) => ({ id: `d${i}`, token: String(i), ttlMs: 40_000 })));
      await test.advance(20_100 + test.toleranceMs);
      expect(new Set(due.map((entry) => entry.id)).size).toBe(due.length);
      expect(due.map((entry) => Number(entry.token)).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 2_000 }, (_, i) => i).filter((i) => !renewed.has(i)),
      );
      await test.advance(20_000);
      expect(due).toHaveLength(2_000);
    });

    it('works on while its listener sets and removes', async () => {
      const again = await make();
      let rounds = 0;
      again.presence.onDue((batch) => {
        rounds += batch.length;
        for (const { id, token } of batch) if (rounds < 5) void again.presence.set(id, `${token}+`, 100);
      });
      await again.presence.set('a', 't', 100);
      await again.advance(5 * (100 + again.toleranceMs) + 100);
      expect(rounds).toBe(5);
      again.presence.close();
      await again.checkLeaks();
    });

    it('hands over what came due before there was a listener', async () => {
      const late = await make();
      await late.presence.set('a', 't', 100);
      await late.advance(1_000);
      const seen: PresenceEntry[] = [];
      late.presence.onDue((batch) => seen.push(...batch));
      await late.advance(late.toleranceMs);
      expect(seen).toEqual([{ id: 'a', token: 't' }]);
      expect(() => late.presence.onDue(() => undefined)).toThrow('listener already');
      late.presence.close();
      await late.checkLeaks();
    });

    it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('refuses a time to live of %s and changes nothing', async (ttlMs) => {
      await presence.set('a', 't1', 1_000);
      await expect(presence.set('a', 't2', ttlMs)).rejects.toThrow(RangeError);
      await expect(
        presence.renew([
          { id: 'a', token: 't1', ttlMs: 9_000 },
          { id: 'a', token: 't1', ttlMs },
        ]),
      ).rejects.toThrow(RangeError);
      await test.advance(1_000 + test.toleranceMs);
      expect(due).toEqual([{ id: 'a', token: 't1' }]);
    });

    it('is silent once it is closed', async () => {
      await presence.set('a', 't1', 1_000);
      presence.close();
      await test.advance(5_000);
      expect(due).toEqual([]);
      expect(await presence.renew([{ id: 'a', token: 't1', ttlMs: 1_000 }])).toEqual([false]);
      await expect(presence.set('b', 't', 1_000)).rejects.toThrow('closed');
    });
  });
}
