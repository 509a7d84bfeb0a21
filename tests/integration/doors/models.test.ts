import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ModelReport } from '#actors/contract/models.ts';
import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { serveFile, type FileServer } from '#tests/support/file-server.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { newKey } from './visitors.ts';

describe('models that are pulled', () => {
  let grid: Grid;
  let hub: FileServer;
  let file = '';
  let devices: string[] = [];

  beforeAll(async () => {
    grid = await startGrid();
    file = path.join(grid.folder, 'origin.gguf');
    writeTinyLlama(file, { contextLength: 1_024 });
    hub = await serveFile(readFileSync(file));
    // No file of their own: whatever they serve, the grid gave them.
    const agents = [await grid.startAgent('one', { slots: 0, sequences: 2 }), await grid.startAgent('two', { slots: 0, sequences: 2 })];
    devices = agents.map((a) => a.device);
    await untilPresent(grid, devices);
  });
  afterAll(async () => {
    await hub.close();
    await endWithoutLeak(grid);
  });

  const models = async (): Promise<ModelReport[]> => JSON.parse((await grid.corpgrid('models', 'list', '--json')).stdout);
  const readyOn = async (name: string): Promise<string[]> =>
    ((await models()).find((m) => m.name === name)?.replicas ?? []).filter((r) => r.state === 'ready').map((r) => r.device);

  it('come from outside once, are shown with what they need, and answer from any device', async () => {
    const pulled = await grid.corpgrid('models', 'pull', `${hub.url}/linked/tiny.gguf`, '--json');
    expect(pulled).toMatchObject({ code: 0 });
    const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
    const report = JSON.parse(pulled.stdout) as ModelReport;
    expect(report).toMatchObject({ name: 'tiny', sha256, stored: true, fitsOn: ['one', 'two'], replicas: [] });
    expect(report.facts).toMatchObject({ architecture: 'llama', contextLength: 1_024, hasChatTemplate: true });
    expect(report.needsBytes).toBeGreaterThan(report.facts?.weightBytes ?? Infinity);

    const { key } = await newKey(grid, 'writers');
    const openai = new OpenAI({ baseURL: `${grid.url}/v1`, apiKey: key, maxRetries: 0 });
    const request = { model: 'tiny', messages: [{ role: 'user' as const, content: 'Hello' }], max_tokens: 8 };
    const answer = await openai.chat.completions.create(request);
    expect(answer.usage?.completion_tokens).toBe(8);
    const [first] = await readyOn('tiny');
    expect(devices).toContain(first);

    const second = devices.find((d) => d !== first) ?? '';
    expect(await grid.corpgrid('models', 'load', 'tiny', '--device', second)).toMatchObject({ code: 0 });
    await waitUntil('both have it', async () => (await readyOn('tiny')).length === 2);
    // One byte more: the question how large the file is.
    expect(hub.sent).toBeLessThanOrEqual(readFileSync(file).length + 1);

    expect(await grid.corpgrid('models', 'unload', 'tiny')).toMatchObject({ code: 0 });
    await waitUntil('none has it', async () => (await readyOn('tiny')).length === 0);
    expect((await openai.chat.completions.create(request)).usage?.completion_tokens).toBe(8);
  });

  it('may be local files, and keep their name for one file', async () => {
    expect(await grid.corpgrid('models', 'pull', file, '--name', 'mine')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('mine'),
    });
    const other = path.join(grid.folder, 'other.gguf');
    writeTinyLlama(other, { contextLength: 2_048 });
    const refused = await grid.corpgrid('models', 'pull', other, '--name', 'mine');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('stands for another file') });
    expect(await grid.corpgrid('models', 'rm', 'mine')).toMatchObject({ code: 0 });
    expect((await models()).find((m) => m.name === 'mine')).toMatchObject({ stored: false });
    expect(await grid.corpgrid('models', 'rm', 'mine')).toMatchObject({ code: 2 });
  });

  it('are refused with a way out when they are none', async () => {
    const broken = await serveFile(Buffer.from('<html>not found</html>'.repeat(100)));
    const pulled = await grid.corpgrid('models', 'pull', `${broken.url}/broken.gguf`);
    expect(pulled).toMatchObject({ code: 1, stderr: expect.stringContaining('does not begin with "GGUF"') });
    broken.status = 404;
    expect(await grid.corpgrid('models', 'pull', `${broken.url}/gone.gguf`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('404'),
    });
    await broken.close();
    expect(await grid.corpgrid('models', 'pull', 'tiny')).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no file') });
    expect(await grid.corpgrid('models', 'pull', 'hf:a/b')).toMatchObject({ code: 2, stderr: expect.stringContaining('hf:OWNER') });
    expect((await models()).map((m) => m.name)).not.toContain('broken');
  });
});
