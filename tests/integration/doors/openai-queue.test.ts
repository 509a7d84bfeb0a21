import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ModelReport } from '#actors/contract/models.ts';
import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { newKey } from './visitors.ts';

const MODEL = 'tiny';
const CONTEXT = 16_384;
const WAITING = 6;

describe('a queue in front of a model', () => {
  let grid: Grid;

  beforeAll(async () => {
    grid = await startGrid();
    const file = path.join(grid.folder, `${MODEL}.gguf`);
    writeTinyLlama(file, { contextLength: CONTEXT });
    for (const name of ['a', 'b']) await grid.startAgent(name, { slots: 0, models: [file], contextSize: CONTEXT, sequences: 1 });
    await untilPresent(grid, grid.agents.map(({ device }) => device)); // prettier-ignore
  });
  afterAll(() => endWithoutLeak(grid));

  it('brings a second replica, which takes what waits', { timeout: 120_000 }, async () => {
    const { key } = await newKey(grid, 'writers');
    const replicas = async (): Promise<ModelReport['replicas']> =>
      (JSON.parse((await grid.corpgrid('models', 'list', '--json')).stdout) as ModelReport[]).flatMap((model) => model.replicas);
    const leave = new AbortController();
    const answers = Array.from({ length: WAITING }, async () => {
      const response = await fetch(`${grid.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: CONTEXT - 200, stream: true }),
        signal: leave.signal,
      });
      for await (const _part of response.body ?? []);
    });
    const over = Promise.allSettled(answers);
    await waitUntil('the first replica is there', async () => (await replicas()).filter(({ state }) => state === 'ready').length === 1);
    await waitUntil(
      'the second one is there',
      async () => (await replicas()).filter(({ state }) => state === 'ready').length === 2,
      60_000,
    );
    await waitUntil('both serve', async () => (await replicas()).every(({ active }) => active === 1));
    leave.abort();
    await over;
    const free = async (): Promise<boolean> => (await replicas()).every(({ active }) => active === 0);
    await waitUntil('all slots are free again', free);
    expect(await replicas()).toHaveLength(2);
  });
});
