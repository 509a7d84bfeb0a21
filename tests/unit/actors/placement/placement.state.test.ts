import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { jainIndex } from '#actors/placement/fair-share.ts';
import { PlacementBook } from '#actors/placement/placement.state.ts';
import type { Assignment, Candidate, Lease } from '#actors/store/store.ts';

import { candidate, job, node } from './scene.ts';

const NOW = { at: 0, random: () => 0 };

function bookOf(...nodes: ReturnType<typeof node>[]): PlacementBook {
  const book = new PlacementBook();
  for (const one of nodes) book.addNode(one);
  return book;
}

let seq = 0;

/** The leases that a store would make of these assignments. */
function leasesOf(candidates: readonly Candidate[], assignments: readonly Assignment[]): Lease[] {
  return assignments.map(({ shardId, device }) => {
    const of = candidates.find((c) => c.shardId === shardId) ?? candidate('?');
    return { fence: { epoch: 1, seq: (seq += 1) }, job: of.job, partition: 0, shardId, index: of.index, device };
  });
}

describe('placement', () => {
  it('gives each wanted attempt of a shard another device, the one with most free slots first', () => {
    const book = bookOf(node('a', { slots: 4 }), node('b', { slots: 4 }), node('c', { slots: 4 }));
    book.openJob(job('j'));
    const first = [candidate('j'), candidate('j')];
    const placed = book.place(first, NOW);
    expect(placed.map((p) => p.device)).toEqual(['a', 'b']);
    book.settle(leasesOf(first, placed));
    const next = [candidate('j', 3)];
    expect(book.place(next, NOW).map((p) => p.device)).toEqual(['c', 'a', 'b']);
  });

  it('leaves out barred devices and goes on with the next shard', () => {
    const book = bookOf(node('a', { slots: 1 }));
    book.openJob(job('j'));
    const shards = [candidate('j', 1, ['a']), candidate('j')];
    expect(book.place(shards, NOW)).toEqual([{ shardId: shards[1]?.shardId, device: 'a' }]);
  });

  it('spreads shards while there is room for all of them, and fills machine by machine when there is not', () => {
    const few = bookOf(node('a', { slots: 4 }), node('b', { slots: 4 }), node('c', { slots: 4 }));
    few.openJob(job('j'));
    const spread = few.place([candidate('j', 1), candidate('j', 1), candidate('j', 1)], NOW);
    expect(spread.map(({ device }) => device)).toEqual(['a', 'b', 'c']);
    few.settle([]);
    const many = Array.from({ length: 12 }, () => candidate('j', 1));
    const filled = few.place(many, NOW);
    expect(filled.map(({ device }) => device).join('')).toBe('aaaabbbbcccc');
  });

  it('draws the second machine of shards that fill the fleet by lot, and fills it too', () => {
    const book = bookOf(...['a', 'b', 'c', 'd'].map((id) => node(id, { slots: 2 })));
    book.openJob(job('j'));
    const draws = [0.99, 0.4];
    const two = Array.from({ length: 4 }, () => candidate('j', 2));
    const placed = book.place(two, { at: 0, random: () => draws.shift() ?? 0 });
    expect(placed.map(({ device }) => device).join('')).toBe('adadbcbc');
  });

  it('draws a machine of its own for each shard that is asked about again', () => {
    const book = bookOf(...['a', 'b', 'c'].map((id) => node(id, { slots: 4 })));
    book.openJob(job('j'));
    const draws = [0.99, 0, 0.5];
    const again = Array.from({ length: 12 }, () => ({ ...candidate('j', 1), again: true }));
    const placed = book.place(again, { at: 0, random: () => draws.shift() ?? 0, limit: 3 });
    expect(placed.map(({ device }) => device)).toEqual(['c', 'a', 'b']);
  });

  it('gives further attempts of a shard to a random machine, whoever looks best', () => {
    const book = bookOf(node('a'), node('b'), node('c', { slots: 1 }));
    book.openJob(job('j'));
    expect(book.place([candidate('j', 1, ['a'])], { at: 0, random: () => 0.99 })).toMatchObject([{ device: 'c' }]);
  });

  it('takes the better trusted, the nearer and the cooler machine', () => {
    const book = bookOf(node('a'), node('b'), node('c', { site: 'oslo' }, { celsius: 60 }), node('d', { site: 'oslo' }, { celsius: 40 }));
    book.openJob(job('j', { constraints: { nearSites: ['oslo'] } }));
    expect(book.place([candidate('j')], NOW)).toMatchObject([{ device: 'd' }]);
    const { app } = job('j').demand;
    book.setStanding('b', app, { credibility: 1, quarantined: false });
    book.openJob(job('k'));
    expect(book.place([candidate('k')], NOW)).toMatchObject([{ device: 'b' }]);
    book.setStanding('b', app, { credibility: 1, quarantined: true });
    expect(book.place([candidate('k')], NOW)).not.toMatchObject([{ device: 'b' }]);
  });

  it('keeps machines with GPUs for work that needs them', () => {
    const gpus = [{ name: 'L4', backend: 'cuda' as const, memoryBytes: 24 * 2 ** 30 }];
    const book = bookOf(node('a', { gpus }), node('b'));
    book.openJob(job('j'));
    expect(book.place([candidate('j')], NOW)).toMatchObject([{ device: 'b' }]);
  });

  it('gives back what did not become a lease, also when its transaction ran twice', () => {
    const book = bookOf(node('a', { slots: 2 }));
    book.openJob(job('j', { resources: { cores: 2 } }));
    const shards = [candidate('j'), candidate('j')];
    book.place(shards, NOW);
    const placed = book.place(shards, NOW);
    expect(placed).toHaveLength(2);
    const [lease] = leasesOf(shards, placed);
    book.settle(lease === undefined ? [] : [lease]);
    expect(book.freeSlots()).toBe(1);
    expect(book.usageOf('default')).toMatchObject({ slots: 1, cores: 2 });
    if (lease !== undefined) expect(book.release(lease.fence)).toBe('0'.repeat(64));
    expect(book.freeSlots()).toBe(2);
    expect(book.usageOf('default')).toEqual({ slots: 0, cores: 0, memoryMiB: 0, gpus: 0 });
  });

  it('counts what a session came back with, also when its job opens later', () => {
    const book = new PlacementBook();
    const fence = { epoch: 1, seq: 77 };
    const machine = node('a', { slots: 2, cores: 4 });
    book.addNode(machine, [{ fence, job: 'j' }]);
    expect(book.freeSlots()).toBe(1);
    expect(machine.claimedCores).toBe(0);
    book.openJob(job('j', { resources: { cores: 3 } }));
    expect(machine.claimedCores).toBe(3);
    book.closeJob('j');
    book.release(fence);
    expect([machine.claimedCores, book.freeSlots(), book.usageOf('default').slots]).toEqual([0, 2, 0]);
  });

  it('forgets with a session all that it held', () => {
    const book = bookOf(node('a', { slots: 2 }));
    book.openJob(job('j'));
    const shards = [candidate('j')];
    book.settle(leasesOf(shards, book.place(shards, NOW)));
    book.removeNode('a');
    expect(book.usageOf('default').slots).toBe(0);
    expect(book.freeSlots()).toBe(0);
  });

  it('never gives a device more than its slots, a shard two attempts on one device, or a barred device anything', () => {
    const device = fc.constantFrom('a', 'b', 'c', 'd');
    const wants = fc.array(fc.record({ wanted: fc.integer({ min: 1, max: 4 }), barred: fc.uniqueArray(device) }), { maxLength: 20 });
    fc.assert(
      fc.property(wants, fc.dictionary(device, fc.integer({ min: 0, max: 5 })), (shards, slots) => {
        const book = bookOf(...Object.entries(slots).map(([id, n]) => node(id, { slots: n })));
        book.openJob(job('j'));
        const candidates = shards.map(({ wanted, barred }) => candidate('j', wanted, barred));
        const placed = book.place(candidates, NOW);
        for (const [id, n] of Object.entries(slots)) expect(placed.filter((p) => p.device === id).length).toBeLessThanOrEqual(n);
        for (const shard of candidates) {
          const devices = placed.filter((p) => p.shardId === shard.shardId).map((p) => p.device);
          expect(new Set(devices).size).toBe(devices.length);
          expect(devices.length).toBeLessThanOrEqual(shard.wanted);
          expect(devices.filter((d) => shard.barred.includes(d))).toEqual([]);
        }
      }),
    );
  });
});

describe('what a round looks at', () => {
  it('is the most urgent job of each tenant first: priority, then deadline, then age', () => {
    const book = bookOf(node('a'));
    book.openJob(job('old', {}, { submittedAt: 1 }));
    book.openJob(job('new', {}, { submittedAt: 2 }));
    book.openJob(job('due', {}, { submittedAt: 3, deadlineAt: 9 }));
    book.openJob(job('first', {}, { submittedAt: 4, priority: 5 }));
    expect(book.draws(100, 0).map((d) => d.jobs)).toEqual([['first', 'due', 'old', 'new']]);
  });

  it('is nothing of a job that fits nowhere, until something changes', () => {
    const book = bookOf(node('a'));
    book.openJob(job('j', { resources: { cores: 99 } }));
    expect(book.draws(100, 0)).toEqual([]);
    book.addNode(node('b', { cores: 100 }));
    expect(book.draws(100, 0)).toMatchObject([{ jobs: ['j'] }]);
  });

  it('is no job whose shards are all placed, until one of them wants another attempt', () => {
    const book = bookOf(node('a'));
    book.openJob(job('j'));
    const shards = [candidate('j')];
    const draws = book.draws(100, 0);
    book.settle(leasesOf(shards, book.place(shards, NOW)), draws, shards);
    expect(book.draws(100, 0)).toEqual([]);
    book.wanting('j');
    expect(book.draws(100, 0)).toHaveLength(1);
  });

  it('stops at what a tenant may have', () => {
    const book = bookOf(node('a'));
    book.setPolicy('default', { weight: 1, maxRunning: 2, maxGpus: null });
    book.openJob(job('j'));
    const shards = [candidate('j'), candidate('j'), candidate('j')];
    const placed = book.place(shards, NOW);
    expect(placed).toHaveLength(2);
    book.settle(leasesOf(shards, placed));
    expect(book.draws(100, 0)).toEqual([]);
  });
});

describe('tenants', () => {
  function shareOf(weights: Record<string, number>): Record<string, number> {
    const book = bookOf(node('a', { slots: 60, cores: 60, memoryBytes: 2 ** 40 }));
    const shards: Candidate[] = [];
    for (const [tenant, weight] of Object.entries(weights)) {
      book.setPolicy(tenant, { weight, maxRunning: null, maxGpus: null });
      book.openJob(job(tenant, {}, { tenant }));
    }
    // The first one has sent a thousand times as much.
    for (const [n, tenant] of Object.keys(weights).entries())
      for (let i = 0; i < (n === 0 ? 1000 : 60); i++) shards.push(candidate(tenant));
    book.settle(leasesOf(shards, book.place(shards, NOW)));
    return Object.fromEntries(Object.keys(weights).map((tenant) => [tenant, book.usageOf(tenant).slots]));
  }

  it('get equal shares however much they ask for', () => {
    expect(shareOf({ loud: 1, quiet: 1 })).toEqual({ loud: 30, quiet: 30 });
  });

  it('get shares by their weights', () => {
    expect(shareOf({ a: 1, b: 2, c: 3 })).toEqual({ a: 10, b: 20, c: 30 });
  });

  it('are equal in what each needs most of', () => {
    const book = bookOf(node('a', { slots: 90, cores: 90, memoryBytes: 90 * 2 ** 30 }));
    // The example of the paper: <1 CPU, 4 GB> and <3 CPU, 1 GB> on <9, 18>, ten times as large.
    book.openJob(job('memory', { resources: { cores: 1, memoryMiB: 2048 } }, { tenant: 'memory' }));
    book.openJob(job('cores', { resources: { cores: 3, memoryMiB: 512 } }, { tenant: 'cores' }));
    const shards = Array.from({ length: 200 }, (_, i) => candidate(i % 2 === 0 ? 'memory' : 'cores'));
    book.place(shards, NOW);
    const share = { memory: (book.usageOf('memory').memoryMiB / 1024 / 90) * 1, cores: book.usageOf('cores').cores / 90 };
    expect(share.memory).toBeCloseTo(share.cores, 1);
    expect(jainIndex([share.memory, share.cores])).toBeGreaterThan(0.99);
  });
});

describe('hosts that fail', () => {
  it('get pauses that double from the third failure on, and end with a success', () => {
    const book = bookOf(node('a'));
    const one = job('j');
    book.openJob(one);
    const blocked = (at: number): unknown => book.blocks(one, at)[0];
    for (let n = 0; n < 2; n++) book.backoff.failed('a', one.demand.app, 0);
    expect(blocked(0)).toBeNull();
    book.backoff.failed('a', one.demand.app, 0);
    expect([blocked(999), blocked(1_000)]).toEqual(['backoff', null]);
    for (let n = 0; n < 30; n++) book.backoff.failed('a', one.demand.app, 0);
    expect([blocked(3_599_999), blocked(3_600_000)]).toEqual(['backoff', null]);
    book.backoff.succeeded('a', one.demand.app);
    expect(blocked(0)).toBeNull();
    expect(book.blocks(job('other', {}, { demand: { ...one.demand, app: 'another' } }), 0)).toEqual([null]);
  });
});
