import { describe, expect, it } from 'vitest';

import { JOB, jobId, type OpenStore, Scene } from './store-scene.ts';

export function storeHistoryContract(open: OpenStore): void {
  describe('the history of a job', () => {
    it('tells what happened to its shards, newest first: all, a few, of one shard, or trouble only', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.runningJob({ shards: { count: 2 }, quorum: 1 });
      const [first, second] = await scene.claim(['a']);
      if (!first || !second) throw new Error('two leases were expected');
      await scene.one(scene.end(first, 'failed', 'it trapped'));
      const again = await scene.lease('b');
      await scene.one(scene.refuse(again, 'bad signature'));
      await scene.one(scene.vote(second, 'accept'));
      const tell = async (query: Partial<Parameters<typeof store.historyOf>[1]> = {}): Promise<unknown[]> => {
        const rows = await store.historyOf(JOB, { index: null, limit: 100, trouble: false, ...query });
        return rows.map(({ at, index, device, event, reason }) => [at, index, device, event, reason]);
      };
      const all = await tell();
      expect(all).toHaveLength(7);
      expect(all[0]).toEqual([4_000, 0, 'a', 'failed', 'it trapped']);
      expect(new Set(all.map((row) => JSON.stringify(row)))).toEqual(
        new Set(
          [
            [4_000, 0, 'a', 'failed', 'it trapped'],
            [3_000, 0, 'b', 'vote refused', 'bad signature'],
            [3_000, 0, 'b', 'refused', 'bad signature'],
            [3_000, 1, 'a', 'voted', null],
            [2_000, 0, 'b', 'leased', null],
            [2_000, 1, 'a', 'leased', null],
            [2_000, 0, 'a', 'leased', null],
          ].map((row) => JSON.stringify(row)),
        ),
      );
      expect(await tell({ limit: 3 })).toEqual(all.slice(0, 3));
      expect(await tell({ index: 1 })).toEqual([
        [3_000, 1, 'a', 'voted', null],
        [2_000, 1, 'a', 'leased', null],
      ]);
      const trouble = (await tell({ trouble: true })).map((row) => (row as unknown[])[3]);
      expect(new Set(trouble)).toEqual(new Set(['failed', 'refused', 'vote refused']));
      const none = { index: null, limit: 1, trouble: false };
      expect([await store.historyOf(jobId(99), none), await store.historyOf('no job', none)]).toEqual([[], []]);
    });
  });
}
