import { describe, expect, it } from 'vitest';

import { object, type OpenStore, Scene } from './store-scene.ts';

export function storeAnswersContract(open: OpenStore): void {
  describe('answers', () => {
    const answer = {
      id: '00000000-0000-4000-8000-000000000001',
      tenant: 'acme',
      modelName: 'tiny',
      device: 'dev-1',
      publicKey: 'ab'.repeat(32),
      statement: '{"a":1}',
      signature: 'cd'.repeat(64),
      at: 2 ** 40,
      finding: null,
    };

    it('keeps each answer once, as it first came', async () => {
      const { store } = await Scene.open(open);
      await store.recordAnswers([answer, { ...answer, id: 'b', modelName: 'with \0 inside' }]);
      await Promise.all([store.recordAnswers([{ ...answer, device: 'dev-2' }]), store.recordAnswers([])]);
      expect(await store.findAnswer(answer.id)).toEqual(answer);
      expect((await store.findAnswer('b'))?.modelName).not.toContain('\0');
      expect(await store.findAnswer('none')).toBeNull();
    });

    it('records what an audit found together with what it teaches, for both standings or none', async () => {
      const { store } = await Scene.open(open);
      const app = object('model').sha256;
      await store.recordAnswers([answer]);
      const lessons = {
        app,
        learned: [
          { device: 'dev-1', kind: 'voted' },
          { device: 'dev-1', kind: 'strike', why: 'wrong' },
          { device: 'dev-2', kind: 'agreed' },
        ],
      } as const;
      const taught = await store.recordFinding({ answer: answer.id, finding: '{"verdict":"wrong"}', lessons, at: 7 });
      expect(taught).toMatchObject([
        { device: 'dev-1', app, results: 1, strikes: 1, quarantine: null, updatedAt: 7 },
        { device: 'dev-2', app, results: 0, strikes: 0 },
      ]);
      expect(await store.standings({ app })).toEqual(taught);
      expect(await store.findAnswer(answer.id)).toEqual({ ...answer, finding: '{"verdict":"wrong"}' });
      // Of an answer that was refused nothing is kept but what it taught.
      const expelled = { app, learned: [{ device: 'dev-1', kind: 'quarantine', why: 'forged' }] } as const;
      await store.recordFinding({ answer: 'none', finding: null, lessons: expelled, at: 8 });
      expect(await store.findAnswer('none')).toBeNull();
      expect((await store.standings({ device: 'dev-1' }))[0]).toMatchObject({ strikes: 1, quarantine: 'forged', updatedAt: 8 });
      expect(await store.recordFinding({ answer: answer.id, finding: '{}', lessons: { app, learned: [] }, at: 9 })).toEqual([]);
    });

    it('counts each of many strikes that come at once', async () => {
      const { store } = await Scene.open(open);
      const app = object('model').sha256;
      const strike = { app, learned: [{ device: 'dev-1', kind: 'strike', why: 'wrong' }] } as const;
      await Promise.all(Array.from({ length: 5 }, (_, at) => store.recordFinding({ answer: 'x', finding: null, lessons: strike, at })));
      expect((await store.standings({ app }))[0]).toMatchObject({ strikes: 5 });
    });
  });
}
