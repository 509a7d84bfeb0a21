import { describe, expect, it } from 'vitest';

import { object, type OpenStore, Scene } from './store-scene.ts';

const header = {
  version: 3,
  architecture: 'llama',
  name: 'tiny',
  contextLength: 2_048,
  vocabularySize: 512,
  hasChatTemplate: true,
  tensorCount: 21,
  weightBytes: 2 ** 33,
  attention: null,
};

function model(name: string, file = 'a') {
  const { sha256 } = object(file);
  return { name, sha256, size: 2 ** 33, chunks: object(`${file} chunks`).sha256, header, source: `hf:a/b/${name}.gguf`, createdAt: 7 };
}

export function storeModelsContract(open: OpenStore): void {
  describe('stored models', () => {
    it('keeps them by name and lists them in order', async () => {
      const { store } = await Scene.open(open);
      expect(await store.listStoredModels()).toEqual([]);
      expect(await store.storeModel(model('b'))).toBe(true);
      expect(await store.storeModel(model('a', 'other'))).toBe(true);
      expect(await store.listStoredModels()).toEqual([model('a', 'other'), model('b')]);
    });

    it('lets a name stand for one file, and the same file come again', async () => {
      const { store } = await Scene.open(open);
      const both = await Promise.all([store.storeModel(model('a', 'one')), store.storeModel(model('a', 'two'))]);
      expect(both.toSorted()).toEqual([false, true]);
      const [kept] = await store.listStoredModels();
      if (kept === undefined) throw new Error('nothing was kept');
      expect(await store.storeModel({ ...kept, source: 'a local file', createdAt: 9 })).toBe(true);
      expect(await store.listStoredModels()).toEqual([{ ...kept, source: 'a local file' }]);
    });

    it('removes one once', async () => {
      const { store } = await Scene.open(open);
      await store.storeModel(model('a'));
      expect(await store.removeStoredModel('a')).toEqual(model('a'));
      expect(await store.removeStoredModel('a')).toBeNull();
      expect(await store.listStoredModels()).toEqual([]);
    });
  });
}
