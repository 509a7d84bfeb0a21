import OpenAI, { BadRequestError, NotFoundError, toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { startScriptedAgent, type ScriptedAgent } from '#tests/support/scripted-agent.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { call, newKey, newToken, type Visitor } from './visitors.ts';

const MODEL = 'scripted';
const ENDS = new Set(['completed', 'failed', 'cancelled', 'expired']);

interface Line {
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly body: { readonly choices?: { message: { content: string } }[]; readonly error?: object };
  };
}

describe('files and batches', () => {
  let grid: Grid;
  let agent: ScriptedAgent;
  let writer: Visitor;
  let openai: OpenAI;
  /** Answers stay open while this is set. */
  let hold: Promise<void> | null = null;

  beforeAll(async () => {
    grid = await startGrid();
    agent = await startScriptedAgent({
      url: grid.url,
      token: await newToken(grid),
      name: 'script',
      model: MODEL,
      script(asked) {
        if (asked.message.type !== 'generate') return;
        const said = asked.message.messages?.at(-1)?.content ?? '';
        void Promise.resolve(hold).then(() => {
          asked.tokens(['You said ', said]);
          asked.end();
        });
      },
    });
    await untilPresent(grid, [agent.device]);
    writer = await newKey(grid, 'writers');
    openai = new OpenAI({ baseURL: `${grid.url}/v1`, apiKey: writer.key, maxRetries: 0 });
  });
  afterAll(async () => {
    await agent.close();
    await endWithoutLeak(grid);
  });

  const line = (id: string, content: string, more: object = {}): string =>
    JSON.stringify({
      custom_id: id,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: MODEL, messages: [{ role: 'user', content }], ...more },
    });

  async function batchOf(lines: readonly string[]): Promise<OpenAI.Batch> {
    const file = await openai.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'in.jsonl'), purpose: 'batch' });
    return openai.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { of: 'test' },
    });
  }

  async function ended(id: string): Promise<OpenAI.Batch> {
    let batch = await openai.batches.retrieve(id);
    await waitUntil(`batch ${id} is over`, async () => {
      batch = await openai.batches.retrieve(id);
      return ENDS.has(batch.status);
    });
    return batch;
  }

  async function linesOf(file: string | null | undefined): Promise<Line[]> {
    const text = await (await openai.files.content(file ?? '')).text();
    return text
      .trim()
      .split('\n')
      .map((each) => JSON.parse(each) as Line);
  }

  it('keeps files by name, byte for byte, for their own tenant', async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 45, 45, 13, 10, 13, 10, 7]);
    const file = await openai.files.create({ file: await toFile(bytes, 'Ärger "x".bin'), purpose: 'user_data' });
    expect(file).toMatchObject({ object: 'file', bytes: bytes.length, purpose: 'user_data', status: 'processed' });
    expect(Buffer.from(await (await openai.files.content(file.id)).arrayBuffer())).toEqual(bytes);
    expect(await openai.files.retrieve(file.id)).toMatchObject({ id: file.id });
    const stranger = new OpenAI({ baseURL: `${grid.url}/v1`, apiKey: (await newKey(grid, 'strangers')).key, maxRetries: 0 });
    await expect(stranger.files.retrieve(file.id)).rejects.toBeInstanceOf(NotFoundError);
    expect((await stranger.files.list()).data).toEqual([]);
    expect(await openai.files.delete(file.id)).toMatchObject({ id: file.id, deleted: true });
    await expect(openai.files.content(file.id)).rejects.toBeInstanceOf(NotFoundError);
  });

  it('refuses forms that are none, and says what is wrong', async () => {
    const bad: readonly [string, string, RegExp][] = [
      ['multipart/form-data', '--x\r\n', /names no boundary/],
      ['multipart/form-data; boundary=x', 'nothing', /does not begin with its boundary/],
      ['multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc', /has no end/],
      ['multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--', /has no name/],
      ['multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--', /'file'/],
      [
        'multipart/form-data; boundary=x',
        `${'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(40)}--x--`,
        /more than 32 parts/,
      ],
      ['application/json', '{}', /'file'/],
    ];
    for (const [type, raw, message] of bad) {
      const answer = await call(grid.url, 'POST', '/v1/files', { key: writer.key, raw, headers: { 'content-type': type } });
      expect(answer.status, type).toBe(400);
      expect((answer.body as unknown as { error: { message: string } }).error.message).toMatch(message);
    }
    const purpose = openai.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'fine-tune' });
    await expect(purpose).rejects.toBeInstanceOf(BadRequestError);
    expect((await call(grid.url, 'GET', '/v1/files')).status).toBe(401);
  });

  it('answers each line of a batch once, failures apart', async () => {
    const lines = [...Array.from({ length: 60 }, (_, n) => line(`n${n}`, `number ${n}`)), line('bad', 'x', { colour: 'red' })];
    const created = await batchOf(lines);
    expect(created).toMatchObject({ object: 'batch', status: 'validating', metadata: { of: 'test' } });
    const batch = await ended(created.id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 61, completed: 60, failed: 1 } });
    const output = await linesOf(batch.output_file_id);
    expect(new Set(output.map(({ custom_id: id }) => id)).size).toBe(60);
    for (const { custom_id: id, response } of output)
      expect(response).toMatchObject({ status_code: 200, body: { choices: [{ message: { content: `You said number ${id.slice(1)}` } }] } });
    expect(await linesOf(batch.error_file_id)).toMatchObject([
      { custom_id: 'bad', response: { status_code: 400, body: { error: { param: 'colour' } } } },
    ]);
    const listed = await openai.batches.list({ limit: 1 });
    expect(listed.data[0]?.id).toBe(created.id);
  });

  it('runs nothing of a batch whose input is wrong, and names the lines', async () => {
    const before = agent.asked.length;
    const created = await batchOf([
      line('a', 'x'),
      '{"custom_id":',
      line('a', 'y'),
      line('s', 'z', { stream: true }),
      '{"custom_id":"u","method":"POST","url":"/v1/other","body":{}}',
    ]);
    const batch = await ended(created.id);
    expect(batch.status).toBe('failed');
    expect(batch.errors?.data?.map(({ line: at, code }) => [at, code])).toEqual([
      [2, 'invalid_json_line'],
      [3, 'duplicate_custom_id'],
      [4, 'invalid_request'],
      [5, 'mismatched_endpoint'],
    ]);
    expect(agent.asked).toHaveLength(before);
    await expect(
      openai.batches.create({ input_file_id: 'file-none', endpoint: '/v1/chat/completions', completion_window: '24h' }),
    ).rejects.toBeInstanceOf(NotFoundError);
  });

  it('stops a batch that is cancelled, and hands out what was answered', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    const created = await batchOf(Array.from({ length: 40 }, (_, n) => line(`n${n}`, 'x')));
    const before = agent.asked.length;
    await waitUntil('its lines are asked', () => agent.asked.length >= before + 1);
    expect((await openai.batches.cancel(created.id)).status).toBe('cancelling');
    hold = null;
    resolve();
    const batch = await ended(created.id);
    expect(batch.status).toBe('cancelled');
    expect((batch.request_counts?.completed ?? 40) < 40).toBe(true);
  });

  it('goes on with a batch after the coordinator was killed, and answers no line twice', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    hold = promise;
    const created = await batchOf(Array.from({ length: 45 }, (_, n) => line(`n${n}`, `word ${n}`)));
    const before = agent.asked.length;
    await waitUntil('some lines are asked', () => agent.asked.length > before);
    await grid.coordinator.kill();
    hold = null;
    resolve();
    await grid.restartCoordinator();
    const batch = await ended(created.id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 45, completed: 45, failed: 0 } });
    const output = await linesOf(batch.output_file_id);
    expect(output.map(({ custom_id: id }) => id).sort()).toEqual(Array.from({ length: 45 }, (_, n) => `n${n}`).sort());
  });
});
