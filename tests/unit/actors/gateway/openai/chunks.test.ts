import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import {
  chatCompletion,
  createChunks,
  modelList,
  modelObject,
  SSE_DONE,
  SSE_KEEP_ALIVE,
  sseEvent,
  usageOf,
} from '#actors/gateway/openai/chunks.ts';

const head = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'tiny' };
const usage = usageOf({ promptTokens: 3, completionTokens: 4 });

/** OpenAI's own client in front of a fixed answer: what it makes of the bytes is what counts. */
function clientFor(body: string, contentType: string, status = 200): OpenAI {
  const answer = async (): Promise<Response> =>
    new Response(body, { status, headers: { 'content-type': contentType, 'x-request-id': 'req-1' } });
  return new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0, fetch: answer });
}

const ask = { model: 'tiny', messages: [{ role: 'user' as const, content: 'hi' }] };

describe('a whole answer', () => {
  it('has the fields of the published schema', () => {
    expect(chatCompletion(head, 'Hello', 'stop', usage)).toEqual({
      id: 'chatcmpl-1', object: 'chat.completion', created: 1_700_000_000, model: 'tiny',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hello', refusal: null }, logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
    }); // prettier-ignore
  });

  it('is what the official client reads', async () => {
    const client = clientFor(JSON.stringify(chatCompletion(head, 'Hello', 'length', usage)), 'application/json');
    const read = await client.chat.completions.create(ask);
    expect(read.choices[0]).toMatchObject({ message: { content: 'Hello' }, finish_reason: 'length' });
    expect(read.usage?.total_tokens).toBe(7);
  });
});

describe('a streamed answer', () => {
  const pieces = ['one\ntwo', ' "three"', ' \u2028\r\n\n data: [DONE]', ' 😀'];

  it('comes as role, pieces, finish, and usage when it was asked for', () => {
    const chunks = createChunks(head, true);
    expect(chunks.role()).toEqual({
      ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null }], usage: null,
    }); // prettier-ignore
    expect(chunks.content('x').choices[0]?.delta).toEqual({ content: 'x' });
    expect(chunks.finish('stop').choices[0]).toEqual({ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' });
    expect(chunks.usage(usage)).toEqual({ ...head, object: 'chat.completion.chunk', choices: [], usage });
    expect(createChunks(head, false).content('x')).not.toHaveProperty('usage');
  });

  it('is put together again by the official client, whatever the text looks like', async () => {
    const chunks = createChunks(head, true);
    const stream = [chunks.role(), ...pieces.map((piece) => chunks.content(piece)), chunks.finish('stop'), chunks.usage(usage)].map(
      sseEvent,
    );
    const body = stream.join(SSE_KEEP_ALIVE) + SSE_DONE;
    const completion = await clientFor(body, 'text/event-stream')
      .chat.completions.stream({ ...ask, stream_options: { include_usage: true } })
      .finalChatCompletion();
    expect(completion.choices[0]?.message.content).toBe(pieces.join(''));
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect(completion.usage).toEqual(usage);
  });
});

it('the list of models is what the official client pages through', async () => {
  const list = modelList([modelObject('tiny', 1_700_000_000), modelObject('large', 1_700_000_001)]);
  const ids: string[] = [];
  for await (const model of clientFor(JSON.stringify(list), 'application/json').models.list()) ids.push(model.id);
  expect(ids).toEqual(['tiny', 'large']);
  expect(list.data[0]).toEqual({ id: 'tiny', object: 'model', created: 1_700_000_000, owned_by: 'corpgrid' });
});
