import { describe, expect, it } from 'vitest';

import { fenceText } from '#actors/contract/primitives.ts';
import { partitionOf } from '#actors/store/partition.ts';
import type { Candidate } from '#actors/store/store.ts';
import { greedy, JOB, jobId, type OpenStore, Scene } from './store-scene.ts';

export function storeClaimContract(open: OpenStore): void {
  describe('a claim', () => {
    it('leases what shards want, with fences of the epoch', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 2 }, quorum: 2, priority: 7 });
      const seen: Candidate[] = [];
      const leases = await scene.claim(['a', 'b', 'c'], {
        place: (candidates) => {
          seen.push(...candidates);
          return greedy(['a', 'b', 'c'])(candidates);
        },
      });
      const [first, second] = await scene.store.shardsOf(JOB);
      const partition = partitionOf(JOB);
      const candidate = { job: JOB, partition, wanted: 2, priority: 7, barred: [] };
      expect(seen).toEqual([
        { ...candidate, shardId: first?.id, index: 0 },
        { ...candidate, shardId: second?.id, index: 1 },
      ]);
      expect(leases.map(({ fence, ...lease }) => [fence.epoch, lease])).toEqual(
        [
          [first, 'a'],
          [first, 'b'],
          [second, 'a'],
          [second, 'b'],
        ].map(([shard, device]) => [
          scene.epoch(),
          { job: JOB, partition, shardId: (shard as typeof first)?.id, index: (shard as typeof first)?.index, device },
        ]),
      );
      expect(new Set(leases.map(({ fence }) => fence.seq)).size).toBe(4);
      for (const shard of [first, second]) expect(shard).toMatchObject({ state: 'leased', wanted: 0 });
      expect(await scene.store.attemptsOf(JOB, null)).toEqual(
        leases.map(({ fence, job, shardId, index, device }) => ({
          fence,
          job,
          shardId,
          index,
          device,
          state: 'leased',
          leasedAt: 2_000,
          endedAt: null,
          reason: null,
        })),
      );
      expect(await scene.claim(['d'])).toEqual([]);
    });

    it('sees running jobs only, and only those of its partitions', async () => {
      const scene = await Scene.open(open);
      await scene.queuedJob();
      expect(await scene.claim(['a'])).toEqual([]);
      await scene.move(['queued'], 'running');
      await scene.move(['running'], 'paused');
      expect(await scene.claim(['a'])).toEqual([]);
      await scene.move(['paused'], 'running');
      const all = scene.epochs;
      scene.epochs = new Map([...all].filter(([partition]) => partition !== partitionOf(JOB)));
      expect(await scene.claim(['a'])).toEqual([]);
      scene.epochs = new Map([[partitionOf(JOB), all.get(partitionOf(JOB)) ?? 0]]);
      expect(await scene.claim(['a'])).toHaveLength(1);
    });

    it('does nothing without devices, partitions or room', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob();
      expect(await scene.claim([])).toEqual([]);
      expect(await scene.claim(['a'], { limit: 0 })).toEqual([]);
      expect(await scene.claim(['a'], { place: () => [] })).toEqual([]);
      expect(await scene.store.claim({ epochs: new Map(), devices: ['a'], limit: 9, at: 1, place: greedy(['a']) })).toEqual([]);
      expect(await scene.shard()).toMatchObject({ state: 'pending', wanted: 2 });
    });

    it('takes higher priorities first, then earlier jobs, then lower shards, up to its limit', async () => {
      const scene = await Scene.open(open);
      const job = (n: number, priority: number, at: number) =>
        scene.runningJob({ shards: { count: 2 }, quorum: 1, priority }, { id: jobId(n), at });
      await job(1, 0, 500);
      await job(2, 0, 400);
      await job(3, 5, 600);
      await job(4, -1, 100);
      const order = async (limit: number) => (await scene.claim(['a'], { limit })).map((lease) => [lease.job, lease.index]);
      expect(await order(3)).toEqual([
        [jobId(3), 0],
        [jobId(3), 1],
        [jobId(2), 0],
      ]);
      expect(await order(9)).toEqual([
        [jobId(2), 1],
        [jobId(1), 0],
        [jobId(1), 1],
        [jobId(4), 0],
        [jobId(4), 1],
      ]);
    });

    it('bars devices with a live attempt or a vote, refused or not; not those that expired or failed', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 9, maxFailures: 9 });
      const devices = ['leased', 'suspect', 'voted', 'refused', 'expired', 'failed', 'released'];
      const leases = await scene.claim(devices);
      const of = (device: string) => {
        const lease = leases.find((each) => each.device === device);
        if (!lease) throw new Error(`no lease of ${device}`);
        return lease;
      };
      await scene.store.commit([
        scene.end(of('suspect'), 'suspect'),
        scene.vote(of('voted')),
        scene.refuse(of('refused')),
        scene.end(of('expired'), 'expired'),
        scene.end(of('failed'), 'failed'),
        scene.end(of('released'), 'released'),
      ]);
      const again = await scene.claim(devices, {
        place: (candidates) => {
          expect(candidates.map(({ barred }) => [...barred].sort())).toEqual([['leased', 'refused', 'suspect', 'voted']]);
          return greedy(devices)(candidates);
        },
      });
      expect(again.map(({ device }) => device)).toEqual(['expired', 'failed', 'released']);
    });

    it('walks past shards that none of its devices may run', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 5 }, quorum: 2 });
      expect((await scene.claim(['a'], { limit: 3 })).map(({ index }) => index)).toEqual([0, 1, 2]);
      expect((await scene.claim(['a'], { limit: 1 })).map(({ index }) => index)).toEqual([3]);
      expect((await scene.claim(['a', 'a', 'b'], { limit: 2, place: greedy(['b']) })).map(({ index }) => index)).toEqual([0, 1]);
      expect((await scene.claim(['a', 'b'])).map(({ index, device }) => [index, device])).toEqual([
        [2, 'b'],
        [3, 'b'],
        [4, 'a'],
        [4, 'b'],
      ]);
      expect(await scene.claim(['a', 'b'])).toEqual([]);
    });

    it('ignores assignments that the placement should not have made', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 2 }, quorum: 2 });
      await scene.claim(['a'], { limit: 1 });
      const leases = await scene.claim(['a', 'b', 'c', 'd'], {
        place: ([first, second]) => {
          if (!first || !second) throw new Error('candidates are missing');
          return [
            { shardId: 0, device: 'a' },
            { shardId: first.shardId, device: 'a' },
            { shardId: first.shardId, device: 'nobody offered it' },
            { shardId: first.shardId, device: 'b' },
            { shardId: first.shardId, device: 'c' },
            { shardId: second.shardId, device: 'd' },
            { shardId: second.shardId, device: 'd' },
          ];
        },
      });
      expect(leases.map(({ index, device }) => [index, device])).toEqual([
        [0, 'b'],
        [1, 'd'],
      ]);
      expect((await scene.store.shardsOf(JOB)).map(({ wanted }) => wanted)).toEqual([0, 1]);
    });

    it('leases nothing when the placement fails', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob();
      const failing = scene.claim(['a'], {
        place: () => {
          throw new Error('no idea');
        },
      });
      await expect(failing).rejects.toThrow('no idea');
      expect(await scene.shard()).toMatchObject({ state: 'pending', wanted: 2 });
      expect(await scene.claim(['a'])).toHaveLength(1);
    });

    it('beside others never leases more than wanted, nor a shard twice to one device', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 60 }, quorum: 3 });
      await scene.runningJob({ shards: { count: 60 }, quorum: 3 }, { id: jobId(2) });
      const devices = ['a', 'b', 'c', 'd', 'e'];
      const claimAll = async (offset: number): Promise<void> => {
        const mine = devices.map((_, n) => devices[(n + offset) % devices.length] ?? '');
        // Nothing to claim may mean that others hold it just now; the last round below is alone.
        for (let round = 0; round < 30; round++) await scene.claim(mine, { limit: 7 });
      };
      await Promise.all([claimAll(0), claimAll(1), claimAll(2), claimAll(3)]);
      await scene.claim(devices);
      for (const job of [JOB, jobId(2)]) {
        for (const shard of await scene.store.shardsOf(job)) {
          const leased = (await scene.store.attemptsOf(job, shard.index)).map(({ device }) => device);
          expect(shard.wanted).toBe(0);
          expect(leased).toHaveLength(3);
          expect(new Set(leased).size).toBe(3);
        }
      }
      const fences = [...(await scene.store.attemptsOf(JOB, null)), ...(await scene.store.attemptsOf(jobId(2), null))].map(({ fence }) =>
        fenceText(fence),
      );
      expect(new Set(fences).size).toBe(360);
    });
  });
}
