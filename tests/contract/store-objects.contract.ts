import { describe, expect, it } from 'vitest';

import { object, type OpenStore, Scene } from './store-scene.ts';

const NOW = 1_000_000;

/** What is swept when everything that nobody wanted since NOW may go. */
async function swept({ store }: Scene, limit = 100, only?: readonly string[]): Promise<string[]> {
  const removed: string[] = [];
  const gone = await store.sweepObjects({ before: NOW, limit, ...(only === undefined ? {} : { only }) }, async (objects) => {
    removed.push(...objects.map((o) => o.sha256));
  });
  expect(gone.map((o) => o.sha256)).toEqual(removed);
  return removed.sort();
}

const hash = (name: string): string => object(name).sha256;

export function storeObjectsContract(open: OpenStore): void {
  describe('objects', () => {
    it('are swept when nobody has wanted them for long, and then are unknown', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await store.recordObjects([object('b', 2 ** 33), object('a', 5), object('a', 5)], 1);
      await store.recordObjects([object('c', 7)], NOW);
      await store.recordObjects([], 1);
      expect(await store.unwantedObjects(NOW)).toEqual({ objects: 2, bytes: 2 ** 33 + 5 });
      expect(await swept(scene)).toEqual([hash('a'), hash('b')]);
      expect(await store.unwantedObjects(NOW)).toEqual({ objects: 0, bytes: 0 });
      expect(await swept(scene)).toEqual([]);
      expect(await store.adoptObjects([object('a', 5), object('c', 7)], 3)).toBe(1);
    });

    it('stay when somebody wants them again, whatever the clock of another says', async () => {
      const scene = await Scene.open(open);
      await scene.store.recordObjects([object('a')], 1);
      await scene.store.recordObjects([object('a')], NOW);
      await scene.store.recordObjects([object('a')], 2);
      expect(await swept(scene)).toEqual([]);
    });

    it('go a few at a time, or only those that are named', async () => {
      const scene = await Scene.open(open);
      await scene.store.recordObjects(['a', 'b', 'c', 'd'].map((name) => object(name)), 1); // prettier-ignore
      expect(await swept(scene, 2)).toHaveLength(2);
      expect(await swept(scene, 100, [hash('d'), hash('never seen')])).toEqual([hash('d')]);
      expect(await swept(scene, 2)).toHaveLength(1);
    });

    it('stay, all of them, when their bytes cannot be deleted', async () => {
      const scene = await Scene.open(open);
      await scene.store.recordObjects([object('a'), object('b')], 1);
      const failing = scene.store.sweepObjects({ before: NOW, limit: 10 }, () => Promise.reject(new Error('the disk is gone')));
      await expect(failing).rejects.toThrow('the disk is gone');
      expect(await swept(scene)).toEqual([hash('a'), hash('b')]);
    });

    it('stay while a job, a vote that counts, a checkpoint of an open job, a model or a file refers to them', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      const names = ['m', 'mm', 'in', 'uploaded', 'inline', 'refused', 'kept', 'model', 'chunks', 'file', 'nobody’s'];
      await store.recordObjects(names.map((name) => object(name)), 1); // prettier-ignore
      const job = await scene.runningJob({ shards: { inputs: [object('in')] }, merge: { module: object('mm') }, quorum: 2 });
      const voted = await scene.lease('a');
      await scene.one(scene.vote(voted, 'none', { output: object('uploaded'), bytes: null }));
      const inline = await scene.lease('b');
      await scene.one(scene.vote(inline, 'another', { output: object('inline') }));
      await scene.one(scene.refuse(await scene.lease('c'), 'bad', { output: object('refused'), bytes: null }));
      const checkpoint = { job: job.id, index: 0, device: 'd', fence: { epoch: 1, seq: 1 }, object: object('kept'), steps: 1, at: 1 };
      await store.saveCheckpoint(checkpoint, scene.epoch());
      const header = { version: 3, tensors: 1 } as never;
      await store.storeModel({ name: 'tiny', ...object('model'), chunks: hash('chunks'), header, source: 'here', createdAt: 1 });
      await store.saveFile({ id: 'f', tenant: 'acme', purpose: 'batch', filename: 'f', ...object('file'), createdAt: 1 });
      expect(await swept(scene)).toEqual([hash('inline'), hash('refused'), hash('nobody’s')].sort());

      expect(await store.forgetCheckpoints(true)).toBe(0);
      expect(await scene.move(['running'], 'cancelled')).toBe(true);
      expect(await store.forgetCheckpoints(true)).toBe(1);
      expect(await swept(scene)).toEqual([hash('kept')]);
      expect(await store.forgetCheckpoints(false)).toBe(1);
      expect(await store.checkpointsOf(job.id, 0)).toEqual([]);
      expect(await store.forgetCheckpoints(false)).toBe(0);
      await store.removeStoredModel('tiny');
      await store.deleteFile('f');
      expect(await swept(scene)).toEqual([hash('chunks'), hash('file'), hash('model')].sort());
    });

    it('that are wanted while they are swept wait, and are seen to be gone', async () => {
      const { store } = await Scene.open(open);
      await store.recordObjects([object('a')], 1);
      const bytes = new Set([hash('a')]);
      let wanted: Promise<boolean> = Promise.resolve(true);
      await store.sweepObjects({ before: NOW, limit: 10 }, async () => {
        // Somebody submits the same bytes in this very moment: the row first, then the look.
        wanted = store.recordObjects([object('a')], NOW + 1).then(() => bytes.has(hash('a')));
        // It cannot look before the sweep has ended; a second sweep does not wait for the row and finds nothing.
        const other = await store.sweepObjects({ before: NOW + 2, limit: 10 }, () => Promise.reject(new Error('it is locked')));
        expect(other).toEqual([]);
        bytes.delete(hash('a'));
      });
      expect(await wanted).toBe(false);
      // Its row is there again, young, so the bytes that it sends now stay.
      expect(await store.adoptObjects([object('a')], 1)).toBe(0);
      expect(await store.unwantedObjects(NOW)).toEqual({ objects: 0, bytes: 0 });
    });

    it('are swept by one coordinator at a time, when it is due', async () => {
      const { store } = await Scene.open(open);
      const now = { at: 100, until: 200, early: false };
      const both = await Promise.all([store.takeSweep('one', now), store.takeSweep('two', now)]);
      expect(both.toSorted()).toEqual([false, true]);
      const [holder, other] = both[0] ? ['one', 'two'] : ['two', 'one'];
      expect(await store.takeSweep(other, { at: 150, until: 250, early: true })).toBe(false);
      expect(await store.takeSweep(holder, { at: 150, until: 300, early: false })).toBe(true);
      await store.endSweep(other, 0);
      expect(await store.takeSweep(other, { at: 299, until: 400, early: true })).toBe(false);
      await store.endSweep(holder, 1_000);
      expect(await store.takeSweep(other, { at: 999, until: 1_100, early: false })).toBe(false);
      expect(await store.takeSweep(other, { at: 999, until: 1_100, early: true })).toBe(true);
      // Whoever holds it may have died.
      expect(await store.takeSweep(holder, { at: 1_100, until: 1_200, early: false })).toBe(true);
    });
  });
}
