import { describe, expect, it } from 'vitest';

import type { Host } from '#runtime/kernel/host.ts';
import { createInProcessPresence } from '#runtime/presence/in-process-presence.ts';
import type { PresenceEntry } from '#runtime/presence/presence.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

import { presenceContract, type PresenceUnderTest } from './presence.contract.ts';

function underTest(options: { tickMs?: number; slots?: number } = {}): PresenceUnderTest {
  const host = virtualHost(1);
  return {
    presence: createInProcessPresence(host, options),
    advance: (ms) => host.advance(ms),
    toleranceMs: options.tickMs ?? 50,
    checkLeaks: () => expect(host.pendingTimers).toBe(0),
  };
}

presenceContract('in process', () => underTest());
presenceContract('in process, on a wheel that turns often', () => underTest({ tickMs: 20, slots: 8 }));

describe('the wheel', () => {
  it('rests while there is nothing to wait for', async () => {
    const host = virtualHost(1);
    const presence = createInProcessPresence(host);
    presence.onDue(() => undefined);
    expect(host.pendingTimers).toBe(0);
    await presence.set('a', 't', 1_000);
    expect(host.pendingTimers).toBe(1);
    await presence.remove('a', 't');
    expect(host.pendingTimers).toBe(0);
    await presence.set('a', 't', 1_000);
    await host.advance(1_100);
    expect(host.pendingTimers).toBe(0);
    presence.close();
  });

  it('finds its place again after a long rest', async () => {
    const host = virtualHost(1);
    const presence = createInProcessPresence(host);
    const due: PresenceEntry[] = [];
    presence.onDue((batch) => due.push(...batch));
    await host.advance(10_000_017);
    await presence.set('a', 't', 400);
    await host.advance(399);
    expect(due).toEqual([]);
    await host.advance(51);
    expect(due).toHaveLength(1);
    presence.close();
  });

  it('goes on after a listener that throws', async () => {
    const host = virtualHost(1);
    let failing = true;
    const guarded: Host = {
      ...host,
      scheduler: {
        ...host.scheduler,
        after: (ms, run) =>
          host.scheduler.after(ms, () => {
            try {
              run();
            } catch (error) {
              expect(error).toEqual(new Error('listener'));
            }
          }),
      },
    };
    const presence = createInProcessPresence(guarded);
    const seen: string[] = [];
    presence.onDue((batch) => {
      if (failing) throw new Error('listener');
      seen.push(...batch.map((entry) => entry.id));
    });
    await presence.set('a', 't', 100);
    await presence.set('b', 't', 1_000);
    await host.advance(500);
    failing = false;
    await host.advance(1_000);
    expect(seen).toEqual(['b']);
    presence.close();
    expect(host.pendingTimers).toBe(0);
  });

  it('does not give everybody up because the process itself stood still', async () => {
    const host = virtualHost(1);
    let stoodStill = 0;
    const frozen: Host = { ...host, clock: { now: () => host.clock.now() + stoodStill, wall: () => host.clock.wall() } };
    const presence = createInProcessPresence(frozen);
    const due: PresenceEntry[] = [];
    presence.onDue((batch) => due.push(...batch));
    for (let i = 0; i < 100; i++) await presence.set(`d${i}`, 't', 5_000);
    await host.advance(1_000);
    // An hour in which no timer fired and no socket was read.
    stoodStill = 3_600_000;
    await host.advance(1_000);
    expect(due).toEqual([]);
    // The beats that waited arrive now.
    const beats = Array.from({ length: 99 }, (_, i) => ({ id: `d${i}`, token: 't', ttlMs: 5_000 }));
    expect(new Set(await presence.renew(beats))).toEqual(new Set([true]));
    await host.advance(4_000);
    expect(due).toEqual([{ id: 'd99', token: 't' }]);
    await host.advance(2_000);
    expect(due).toHaveLength(100);
    presence.close();
  });
});
