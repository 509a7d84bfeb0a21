import path from 'node:path';

import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { call, newKey } from './visitors.ts';

const MODEL = 'tiny';
const CONTEXT = 16_384;
const MESSAGES = [{ role: 'user' as const, content: 'Tell me about a lighthouse.' }];
const REQUEST = { model: MODEL, messages: MESSAGES, max_tokens: 40, seed: 11, temperature: 0.9 };

describe('the OpenAI door, with the official client', () => {
  let grid: Grid;
  let openai: OpenAI;
  let key: string;

  beforeAll(async () => {
    grid = await startGrid();
    const file = path.join(grid.folder, `${MODEL}.gguf`);
    writeTinyLlama(file, { contextLength: CONTEXT });
    // One generation at a time: who waits shows that somebody else is being served.
    const { device } = await grid.startAgent('only', { slots: 0, models: [file], contextSize: CONTEXT, sequences: 1 });
    await untilPresent(grid, [device]);
    ({ key } = await newKey(grid, 'writers'));
    openai = clientWith(key);
  });
  afterAll(() => endWithoutLeak(grid));

  function clientWith(apiKey: string): OpenAI {
    return new OpenAI({ baseURL: `${grid.url}/v1`, apiKey, maxRetries: 0 });
  }

  it('lists the models', async () => {
    const { data } = await openai.models.list();
    expect(data).toMatchObject([{ id: MODEL, object: 'model' }]);
    expect(await openai.models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: 'model' });
    await expect(openai.models.retrieve('none')).rejects.toBeInstanceOf(NotFoundError);
  });

  it('computes embeddings, and says of a model that cannot rank that it cannot', async () => {
    const { data, usage } = await openai.embeddings.create({ model: MODEL, input: ['a lighthouse', 'its keeper', 'a lighthouse'] });
    expect(data.map((one) => one.index)).toEqual([0, 1, 2]);
    expect(data[0]?.embedding).toEqual(data[2]?.embedding);
    expect(Math.hypot(...(data[1]?.embedding ?? []))).toBeCloseTo(1, 4);
    expect(usage.prompt_tokens).toBeGreaterThan(6);
    const body = { model: MODEL, query: 'light', documents: ['a', 'b'] };
    expect(await call(grid.url, 'POST', '/v1/rerank', { key, body })).toMatchObject({ status: 400 });
  });

  it('answers as a whole and as a stream with the same words for the same seed, and counts the tokens', async () => {
    const { data: whole, response } = await openai.chat.completions.create(REQUEST).withResponse();
    const content = whole.choices[0]?.message.content ?? '';
    expect(whole).toMatchObject({
      object: 'chat.completion',
      model: MODEL,
      choices: [{ finish_reason: 'length', message: { role: 'assistant' } }],
    });
    expect(content.length).toBeGreaterThan(0);
    const { usage } = whole;
    expect(usage?.completion_tokens).toBe(REQUEST.max_tokens);
    expect(usage?.prompt_tokens).toBeGreaterThan(0);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + REQUEST.max_tokens);
    expect(response.headers.get('x-corpgrid-device')).toBe(grid.agents[0]?.device);

    let text = '';
    let chunks = 0;
    let last: OpenAI.CompletionUsage | null | undefined;
    const reasons: string[] = [];
    for await (const chunk of await openai.chat.completions.create({ ...REQUEST, stream: true, stream_options: { include_usage: true } })) {
      chunks += 1;
      text += chunk.choices[0]?.delta.content ?? '';
      last = chunk.usage;
      const reason = chunk.choices[0]?.finish_reason;
      if (reason != null) reasons.push(reason);
    }
    expect(text).toBe(content);
    expect(chunks).toBeGreaterThan(2);
    expect(reasons).toEqual(['length']);
    // The second time the whole prompt but its last token was computed already.
    expect(last).toEqual({ ...usage, prompt_tokens_details: { cached_tokens: (usage?.prompt_tokens ?? 0) - 1 } });

    const other = await openai.chat.completions.create({ ...REQUEST, seed: 12 });
    expect(other.choices[0]?.message.content).not.toBe(content);
  });

  it('gives no usage to a stream that did not ask for it', async () => {
    for await (const chunk of await openai.chat.completions.create({ ...REQUEST, max_tokens: 5, stream: true }))
      expect(chunk.usage).toBeUndefined();
  });

  it('frees the replica when the client goes away', async () => {
    const stream = await openai.chat.completions.create({ ...REQUEST, max_tokens: CONTEXT - 200, stream: true });
    const started = performance.now();
    let received = 0;
    for await (const chunk of stream) {
      received += chunk.choices[0]?.delta.content?.length ?? 0;
      if (performance.now() - started > 250) break;
    }
    // Leaving the loop ends the request. Had it gone on, the next one would have waited for the rest of it.
    const left = performance.now();
    const answer = await openai.chat.completions.create({ ...REQUEST, max_tokens: 1 });
    const waited = performance.now() - left;
    expect(answer.usage?.completion_tokens).toBe(1);
    const perCharacter = (left - started) / received;
    const wholeLength = (CONTEXT - 200) * 2; // the shortest that words of this vocabulary can be
    expect(waited).toBeLessThan((perCharacter * (wholeLength - received)) / 2);
  });

  it('raises the errors that programs expect', async () => {
    const refusal = async (client: OpenAI, changes: object): Promise<unknown> =>
      client.chat.completions.create({ ...REQUEST, ...changes }).then(
        () => null,
        (error: unknown) => error,
      );
    const unknown = await refusal(openai, { model: 'gpt-5' });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    for (const wrong of ['nonsense', `cg_${'x'.repeat(16)}_${'y'.repeat(32)}`]) {
      const stranger = await refusal(clientWith(wrong), {});
      expect(stranger).toBeInstanceOf(AuthenticationError);
      expect(stranger).toMatchObject({ status: 401, code: 'invalid_api_key' });
    }
    const fields: readonly [object, string, string][] = [
      [{ functions: [{ name: 'f' }] }, 'functions', 'unsupported_parameter'],
      [{ n: 200 }, 'n', 'invalid_value'],
      [{ temperature: 9 }, 'temperature', 'invalid_value'],
      [{ messages: [] }, 'messages', 'invalid_value'],
      [{ messages: [{ role: 'user', content: 7 }] }, 'messages[0].content', 'invalid_value'],
      [{ colour: 'red' }, 'colour', 'unknown_parameter'],
    ];
    for (const [changes, param, code] of fields) {
      const error = await refusal(openai, changes);
      expect(error, param).toBeInstanceOf(BadRequestError);
      expect(error, param).toMatchObject({ status: 400, param, code, type: 'invalid_request_error' });
    }
    const long = await refusal(openai, { messages: [{ role: 'user', content: 'word '.repeat(CONTEXT * 2) }] });
    expect(long).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'messages' });
  });

  it('tells what is wrong with a body that is no JSON in OpenAI’s own form', async () => {
    const answer = await call(grid.url, 'POST', '/v1/chat/completions', { key, raw: '{"model":' });
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { type: 'invalid_request_error', message: expect.stringContaining('JSON') } },
    });
    expect(await call(grid.url, 'GET', '/v1/models')).toMatchObject({ status: 401, body: { error: { code: 'invalid_api_key' } } });
  });
});
