import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createGridClient } from '#bin/client/grid-client.ts';
import { openDatabase, type Database } from '#runtime/database/open-database.ts';
import { endWithoutLeak } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { type Asked, startScriptedAgent, type ScriptedAgent } from '#tests/support/scripted-agent.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { newKey, newToken } from './visitors.ts';

const WORDS = ['A', ' light', 'house', ' stands', ' here', '.'];
const MESSAGES = [{ role: 'user' as const, content: 'Say something.' }];
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Says its words from where the answer stands, at once. */
function say(asked: Asked): void {
  const { message } = asked;
  const from = message.type === 'generate' ? (message.resume?.tokens.length ?? 0) : 0;
  asked.tokens(WORDS.slice(from));
  asked.end({ outcome: 'stop', promptTokens: 3, completionTokens: WORDS.length });
}

describe('models of two coordinators', () => {
  let folder: string;
  let database: Database;
  let grid: Grid;
  let second: Awaited<ReturnType<Grid['joinCoordinator']>>;
  let key: string;
  const agents: ScriptedAgent[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-two-'));
    database = await openDatabase({ dataFolder: folder, log: quiet });
    grid = await startGrid({ environment: { DATABASE_URL: database.url } });
    second = await grid.joinCoordinator();
    ({ key } = await newKey(grid, 'writers'));
  });
  afterAll(async () => {
    for (const agent of agents) await agent.close();
    await endWithoutLeak(grid);
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });

  const clientOf = (url: string): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });

  async function startAgent(url: string, name: string, script: (asked: Asked) => void): Promise<ScriptedAgent> {
    const agent = await startScriptedAgent({ url, token: await newToken(grid), name, model: 'scripted', script });
    agents.push(agent);
    return agent;
  }

  const replicas = async (): Promise<readonly unknown[]> =>
    ((await grid.client.get('/api/models')) as { replicas: unknown[] }[]).flatMap((model) => model.replicas);

  const ask = async (url: string): Promise<string | null | undefined> =>
    (await clientOf(url).chat.completions.create({ model: 'scripted', messages: MESSAGES })).choices[0]?.message.content;

  it('are served by either, whichever of them a device is connected to', async () => {
    await startAgent(second.url, 'there', say);
    await waitUntil('the first one knows the model', async () => (await clientOf(grid.url).models.list()).data.length === 1);
    expect(await clientOf(grid.url).models.retrieve('scripted')).toMatchObject({ id: 'scripted' });
    expect(await ask(second.url)).toBe(WORDS.join(''));
    expect(await ask(grid.url)).toBe(WORDS.join(''));
    expect(await replicas()).toHaveLength(1);

    const { text, chunks } = { text: [] as string[], chunks: await clientOf(grid.url).chat.completions.create({ model: 'scripted', messages: MESSAGES, stream: true }) }; // prettier-ignore
    for await (const chunk of chunks) text.push(chunk.choices[0]?.delta.content ?? '');
    expect(text.join('')).toBe(WORDS.join(''));
  });

  it('go on at the other one when the device of this one is lost in the middle of an answer', async () => {
    const half: ScriptedAgent = await startAgent(grid.url, 'here', (asked) => {
      asked.tokens(WORDS.slice(0, 2));
      void half.close();
    });
    await waitUntil('its offer is known', async () => (await replicas()).length === 2);
    // Asked of the coordinator that does not know the device.
    await createGridClient({ url: second.url, key: grid.adminKey }).post('/api/models/scripted/load', { device: half.device });
    const there = agents[0]?.asked.length ?? 0;
    await waitUntil('an answer began here', async () => {
      expect(await ask(grid.url)).toBe(WORDS.join(''));
      return half.asked.length > 0;
    });
    expect(agents[0]?.asked.length).toBeGreaterThan(there);
  });

  it('say that a model is nowhere once the last device is gone', async () => {
    for (const agent of agents) await agent.close();
    await waitUntil('it is known to be gone', async () => {
      const answer = await clientOf(grid.url)
        .chat.completions.create({ model: 'scripted', messages: MESSAGES })
        .then(
          () => 200,
          (error: unknown) => (error instanceof OpenAI.APIError ? error.status : 0),
        );
      return answer === 503;
    });
  });
});
