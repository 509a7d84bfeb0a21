import { describe, expect, it } from 'vitest';

import { object, type OpenStore, Scene } from './store-scene.ts';

export function storeRecordsContract(open: OpenStore): void {
  describe('records', () => {
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
      await Promise.all([store.recordModels(repeated, 5), store.recordModels(repeated.toReversed(), 5), store.recordModels([], 5)]);
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
      await store.recordModels(repeated, 9);
      expect(await store.modelsFirstSeen([model, { name: 'none', sha256: model.sha256 }])).toEqual([5, 0]);
      await store.recordUsage([usage, { ...usage, id: 'gen-2' }]);
      await store.recordUsage([{ ...usage, promptTokens: 100 }, { ...usage, id: 'gen-3', apiKey: 'key-2', at: 7 }]); // prettier-ignore
      await store.recordUsage([]);
      const sum = { tenant: 'acme', apiKey: 'key-1', model: 'tiny', requests: 2, promptTokens: 2, completionTokens: 4 };
      const other = { ...sum, apiKey: 'key-2', requests: 1, promptTokens: 1, completionTokens: 2 };
      const all = { tenant: null, apiKey: null, from: 0, to: 100 };
      expect(await store.usageSums(all)).toEqual([sum, other]);
      expect(await store.usageSums({ ...all, apiKey: 'key-1', tenant: 'acme' })).toEqual([sum]);
      expect(await store.usageSums({ ...all, from: 7 })).toEqual([other]);
      expect(await store.usageSums({ ...all, to: 7 })).toEqual([sum]);
      expect(await store.usageSums({ ...all, tenant: 'nobody' })).toEqual([]);
    });

    it('keeps the limits of keys, and none of those that have none', async () => {
      const { store } = await Scene.open(open);
      const none = { requestsPerMinute: null, tokensPerMinute: null, monthlyTokens: null };
      expect(await store.keyLimits('key-1')).toEqual(none);
      await store.setKeyLimits('key-1', { requestsPerMinute: 5, tokensPerMinute: null, monthlyTokens: 2 ** 40 });
      expect(await store.keyLimits('key-1')).toEqual({ requestsPerMinute: 5, tokensPerMinute: null, monthlyTokens: 2 ** 40 });
      await store.setKeyLimits('key-1', none);
      expect(await store.keyLimits('key-1')).toEqual(none);
    });

    it('keeps what tenants may have; whoever has a key is a tenant, with no limits', async () => {
      const { store } = await Scene.open(open);
      expect(await store.tenantPolicies()).toEqual(new Map());
      await store.createApiKey({ id: 'k', tenant: 'physics', name: 'ann', role: 'submitter', createdAt: 1, revokedAt: null }, 'hash');
      const none = { weight: 1, maxRunning: null, maxGpus: null };
      expect(await store.tenantPolicies()).toEqual(new Map([['physics', none]]));
      await store.setTenantPolicy('physics', { weight: 2.5, maxRunning: 10, maxGpus: 0 }, 2);
      await store.setTenantPolicy('art', { weight: 0.5, maxRunning: null, maxGpus: 3 }, 3);
      expect([...(await store.tenantPolicies())]).toEqual([
        ['art', { weight: 0.5, maxRunning: null, maxGpus: 3 }],
        ['physics', { weight: 2.5, maxRunning: 10, maxGpus: 0 }],
      ]);
      await store.setTenantPolicy('physics', none, 4);
      expect((await store.tenantPolicies()).get('physics')).toEqual(none);
    });

    it('keeps files until they are deleted', async () => {
      const { store } = await Scene.open(open);
      const file = {
        id: 'file-1',
        tenant: 'acme',
        purpose: 'batch',
        filename: 'in.jsonl',
        sha256: object('f').sha256,
        size: 2 ** 33,
        createdAt: 3,
      };
      const later = { ...file, id: 'file-2', createdAt: 4 };
      await store.saveFile(file);
      await store.saveFile(later);
      await store.saveFile({ ...file, id: 'file-3', tenant: 'other' });
      await expect(store.saveFile(file)).rejects.toThrow();
      expect(await store.listFiles('acme')).toEqual([later, file]);
      expect(await store.findFile('file-1')).toEqual(file);
      expect(await store.deleteFile('file-1')).toBe(true);
      expect(await store.deleteFile('file-1')).toBe(false);
      expect(await store.findFile('file-1')).toBeNull();
    });

    it('keeps batches, and the first answer to each of their lines', async () => {
      const { store } = await Scene.open(open);
      const batch = { id: 'batch-1', tenant: 'acme', apiKey: 'key-1', open: true, body: '{"a":1}', createdAt: 3 };
      const later = { ...batch, id: 'batch-2', createdAt: 4 };
      await store.saveBatch(batch);
      await store.saveBatch(later);
      expect(await store.openBatches()).toEqual([batch, later]);
      await store.saveBatch({ ...later, open: false, body: '{"a":2}' });
      expect(await store.openBatches()).toEqual([batch]);
      expect(await store.findBatch('batch-2')).toMatchObject({ open: false, body: '{"a":2}' });
      expect(await store.findBatch('none')).toBeNull();
      expect((await store.listBatches('acme', 1)).map(({ id }) => id)).toEqual(['batch-2']);
      await store.recordBatchResults('batch-1', [{ line: 2, failed: false, body: 'two' }, { line: 0, failed: true, body: 'zero' }]); // prettier-ignore
      await store.recordBatchResults('batch-1', [{ line: 2, failed: true, body: 'again' }]);
      await store.recordBatchResults('batch-1', []);
      await store.recordBatchResults('batch-10', [{ line: 0, failed: false, body: 'other' }]);
      expect(await store.batchResults('batch-1')).toEqual([
        { line: 0, failed: true, body: 'zero' },
        { line: 2, failed: false, body: 'two' },
      ]);
    });
  });
}
