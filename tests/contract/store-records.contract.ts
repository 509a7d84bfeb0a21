import { describe, expect, it } from 'vitest';

import { object, type OpenStore, Scene } from './store-scene.ts';

export function storeRecordsContract(open: OpenStore): void {
  describe('records', () => {
    it('knows the sizes of recorded objects', async () => {
      const { store } = await Scene.open(open);
      await store.recordObject(object('a', 5), 1);
      await store.recordObject(object('a', 5), 2);
      await store.recordObject(object('b', 2 ** 32), 2);
      const asked = [object('a').sha256, object('b').sha256, object('c').sha256];
      expect(await store.hasObjects(asked)).toEqual(
        new Map([
          [asked[0], 5],
          [asked[1], 2 ** 32],
        ]),
      );
      expect(await store.hasObjects([])).toEqual(new Map());
    });

    it('lists events newest first, of one subject or of all', async () => {
      const { store } = await Scene.open(open);
      const event = (at: number, subject: string) => ({ at, subject, kind: 'note', text: `at ${at}` });
      await store.recordEvents([event(1, 'a'), event(2, 'b')]);
      await store.recordEvents([event(3, 'a')]);
      await store.recordEvents([]);
      expect(await store.listEvents('a', 10)).toEqual([event(3, 'a'), event(1, 'a')]);
      expect(await store.listEvents(null, 2)).toEqual([event(3, 'a'), event(2, 'b')]);
    });

    it('takes models and usage again and again', async () => {
      const { store } = await Scene.open(open);
      const model = { name: 'tiny', sha256: object('t').sha256, size: 2 ** 33, contextSize: 2_048 };
      const repeated = [model, model, { ...model, sha256: object('u').sha256 }];
      await Promise.all([store.recordModels(repeated), store.recordModels(repeated.toReversed()), store.recordModels([])]);
      const usage = {
        id: 'gen-1',
        tenant: 'acme',
        apiKey: 'key-1',
        model: 'tiny',
        device: null,
        promptTokens: 1,
        completionTokens: 2,
        outcome: 'stop',
        at: 1,
      };
      await store.recordUsage(usage);
      await expect(store.recordUsage(usage)).resolves.toBeUndefined();
    });
  });
}
