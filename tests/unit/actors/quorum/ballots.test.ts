import { describe, expect, it } from 'vitest';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import { Ballots } from '#actors/quorum/ballots.ts';
import type { AppTrust } from '#actors/quorum/trust-book.ts';

const states = (...names: ShardState[]): Uint8Array => Uint8Array.from(names, (name) => SHARD_STATES.indexOf(name));
const trust = { memberOf: () => undefined } as unknown as AppTrust;
const lease = (index: number, seq: number) => ({ fence: { epoch: 1, seq }, shardId: 100 + index, index, device: 'dev-0000000001' });
const rows = { touched: [], attempts: [], votes: [] };

describe('what is remembered of a job while it runs', () => {
  it('is which shards take votes, and the id of those that were leased', () => {
    const ballots = new Ballots({ ...rows, states: states('pending', 'provisional', 'blocked', 'failed') }, trust, 2);
    expect([0, 1, 2, 3, 4].map((index) => ballots.open.has(index))).toEqual([true, false, true, false, false]);
    expect(ballots.open.get(0)).toBeUndefined();
    ballots.leased(lease(0, 1));
    expect(ballots.open.get(0)).toEqual({ id: 100, index: 0, coreOnly: false });
    const closed = ballots.close(0);
    expect(ballots.open.has(0)).toBe(false);
    if (closed === undefined) throw new Error('it was open');
    ballots.reopen({ ...closed, coreOnly: true }, ballots.of(0));
    expect(ballots.open.get(0)).toEqual({ id: 100, index: 0, coreOnly: true });
  });

  it('is how many votes a touched shard still expects', () => {
    const shard = { id: 7, index: 1, state: 'voting', wanted: 0, failures: 0, output: null, coreOnly: true } as const;
    const attempt = { ...lease(1, 4), shardId: 7, job: 'j', state: 'leased', leasedAt: 1, endedAt: null, reason: null } as const;
    const ballots = new Ballots({ states: states('pending', 'voting'), touched: [shard], attempts: [attempt], votes: [] }, trust, 2);
    expect(ballots.of(0).planned).toBe(2);
    expect(ballots.of(1).planned).toBe(1);
    expect(ballots.open.get(1)).toEqual({ id: 7, index: 1, coreOnly: true });
  });

  it('is a bounded number of leases, however many shards were settled', () => {
    const many = 30_000;
    const ballots = new Ballots({ ...rows, states: new Uint8Array(many) }, trust, 1);
    for (let index = 0; index < many; index++) {
      ballots.leased(lease(index, index + 1));
      ballots.cast.set(fenceText({ epoch: 1, seq: index + 1 }), 'signed');
      ballots.close(index);
      ballots.forget(index);
    }
    expect(ballots.leases.size).toBe(20_000);
    expect(ballots.cast.size).toBe(20_000);
    expect(ballots.leases.has('1.1')).toBe(false);
    expect(ballots.leases.has(`1.${many}`)).toBe(true);
    // The lease of a settled shard that comes late counts among them.
    ballots.leased(lease(0, many + 1));
    ballots.forget(1);
    expect(ballots.leases.size).toBe(20_000);
  });
});
