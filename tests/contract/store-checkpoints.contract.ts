import { describe, expect, it } from 'vitest';

import { StaleEpoch } from '#actors/store/store.ts';
import { object, type OpenStore, Scene } from './store-scene.ts';

const JOB = '00000000-0000-4000-8000-00000000c0de';

export function storeCheckpointsContract(open: OpenStore): void {
  describe('checkpoints', () => {
    const row = (device: string, seq: number, steps: number, name = 'a') => {
      return { job: JOB, index: 3, device, fence: { epoch: 1, seq }, object: object(name, 70_000), steps, at: steps * 10 };
    };

    it('keeps the newest of each device, and lets no older lease or step take its place', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      const epoch = scene.epoch(JOB);
      expect(await store.saveCheckpoint(row('dev-a', 5, 10), epoch)).toBe(true);
      expect(await store.saveCheckpoint(row('dev-a', 5, 10), epoch)).toBe(false);
      expect(await store.saveCheckpoint(row('dev-a', 5, 9), epoch)).toBe(false);
      expect(await store.saveCheckpoint(row('dev-a', 4, 99), epoch)).toBe(false);
      expect(await store.saveCheckpoint(row('dev-a', 6, 2, 'b'), epoch)).toBe(true);
      expect(await store.saveCheckpoint(row('dev-b', 1, 1), epoch)).toBe(true);
      expect(await store.checkpointsOf(JOB, 3)).toEqual([row('dev-a', 6, 2, 'b'), row('dev-b', 1, 1)]);
      expect(await store.checkpointsOf(JOB, 4)).toEqual([]);
      expect(await store.checkpointsOf('no job', 3)).toEqual([]);
    });

    it('forgets one that is no good', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      const epoch = scene.epoch(JOB);
      await store.saveCheckpoint(row('dev-a', 5, 10, 'bad'), epoch);
      await store.saveCheckpoint(row('dev-b', 6, 11, 'good'), epoch);
      await store.dropCheckpoint(JOB, epoch, 3, object('bad').sha256);
      await store.dropCheckpoint(JOB, epoch, 3, object('never seen').sha256);
      expect(await store.checkpointsOf(JOB, 3)).toEqual([row('dev-b', 6, 11, 'good')]);
      expect(await store.saveCheckpoint(row('dev-a', 5, 1), epoch)).toBe(true);
    });

    it('takes nothing from a coordinator that lost the partition', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      const epoch = scene.epoch(JOB);
      await store.saveCheckpoint(row('dev-a', 5, 10), epoch);
      await expect(store.saveCheckpoint(row('dev-a', 5, 11), epoch - 1)).rejects.toThrow(StaleEpoch);
      await expect(store.dropCheckpoint(JOB, epoch - 1, 3, object('a').sha256)).rejects.toThrow(StaleEpoch);
      expect(await store.checkpointsOf(JOB, 3)).toEqual([row('dev-a', 5, 10)]);
    });
  });
}
