import OpenAI, { RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { type Asked, startScriptedAgent, type ScriptedAgent } from '#tests/support/scripted-agent.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { call, newKey, newToken, type Visitor } from './visitors.ts';

const MODEL = 'scripted';
const ASK = { model: MODEL, messages: [{ role: 'user' as const, content: 'hi' }] };

interface Sum {
  readonly apiKey: string;
  readonly model: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

describe('limits, usage and kept streams', () => {
  let grid: Grid;
  let agent: ScriptedAgent;
  /** Decides what a generation does; ten tokens unless a test says otherwise. */
  let script: (asked: Asked) => void;

  beforeAll(async () => {
    grid = await startGrid();
    const token = await newToken(grid);
    agent = await startScriptedAgent({ url: grid.url, token, name: 'script', model: MODEL, script: (asked) => script(asked) });
    await untilPresent(grid, [agent.device]);
  });
  afterAll(async () => {
    await agent.close();
    await endWithoutLeak(grid);
  });

  async function client(tenant: string, limits?: object): Promise<{ openai: OpenAI; visitor: Visitor }> {
    const visitor = await newKey(grid, tenant);
    if (limits !== undefined) {
      const set = await call(grid.url, 'PUT', `/api/keys/${visitor.id}/limits`, { key: grid.adminKey, body: limits });
      expect(set.status).toBe(200);
    }
    script = (asked) => {
      asked.tokens(Array.from({ length: 10 }, () => 'word '));
      asked.end();
    };
    return { openai: new OpenAI({ baseURL: `${grid.url}/v1`, apiKey: visitor.key, maxRetries: 0 }), visitor };
  }

  const refusal = (request: Promise<unknown>): Promise<unknown> =>
    request.then(
      () => null,
      (error: unknown) => error,
    );

  it('tells the limits that a key has, and none that it has not', async () => {
    const { openai } = await client('limited', { requestsPerMinute: 3, tokensPerMinute: 100_000 });
    const { response } = await openai.chat.completions.create(ASK).withResponse();
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('3');
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('2');
    expect(response.headers.get('x-ratelimit-reset-requests')).toMatch(/^\d+(\.\d+)?(ms|s)$/);
    expect(response.headers.get('x-ratelimit-limit-tokens')).toBe('100000');
    expect(Number(response.headers.get('x-ratelimit-remaining-tokens'))).toBeLessThan(100_000);
    expect(response.headers.get('openai-processing-ms')).toMatch(/^\d+$/);
    const free = await client('free');
    const { response: plain } = await free.openai.chat.completions.create(ASK).withResponse();
    expect([...plain.headers.keys()].filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });

  it('refuses the request above the limit, says when to come back, and lets other keys in', async () => {
    const { openai } = await client('hasty', { requestsPerMinute: 2 });
    await openai.chat.completions.create(ASK);
    await openai.chat.completions.create({ ...ASK, stream: true }).then((stream) => stream.controller.abort());
    const error = await refusal(openai.chat.completions.create(ASK));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    const headers = (error as RateLimitError).headers;
    const seconds = Number(headers?.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(30);
    expect(Number(headers?.get('retry-after-ms'))).toBeLessThanOrEqual(seconds * 1_000);
    const other = await client('calm');
    await other.openai.chat.completions.create(ASK);
  });

  it('counts tokens as they were used, not as they were feared', async () => {
    const { openai } = await client('thrifty', { tokensPerMinute: 2_000 });
    // Each may have 1,024 tokens for all we know; together they used 60.
    for (let n = 0; n < 4; n++) await openai.chat.completions.create(ASK);
    const greedy = await refusal(openai.chat.completions.create({ ...ASK, messages: [{ role: 'user', content: 'x'.repeat(8_000) }] }));
    expect(greedy).toMatchObject({ status: 429 });
  });

  it('ends with the month’s budget', async () => {
    const { openai } = await client('poor', { monthlyTokens: 12 });
    await openai.chat.completions.create(ASK);
    expect(await refusal(openai.chat.completions.create(ASK))).toMatchObject({ status: 429, code: 'insufficient_quota' });
  });

  it('refuses limits that make no sense, and to people who may not set any', async () => {
    const { visitor } = await client('curious');
    const at = `/api/keys/${visitor.id}/limits`;
    expect((await call(grid.url, 'PUT', at, { key: visitor.key, body: {} })).status).toBe(403);
    for (const body of [{ requestsPerMinute: 0 }, { tokensPerMinute: 1.5 }, { everyMinute: 2 }])
      expect((await call(grid.url, 'PUT', at, { key: grid.adminKey, body })).status).toBe(400);
  });

  it('counts usage by key and model, once, whole or streamed or broken off', async () => {
    const { openai, visitor } = await client('counted');
    await openai.chat.completions.create(ASK);
    for await (const _ of await openai.chat.completions.create({ ...ASK, stream: true }));
    await openai.chat.completions.create({ ...ASK, n: 2 });
    const { promise, resolve } = Promise.withResolvers<void>();
    script = (asked) => {
      asked.tokens(['one ', 'two ']);
      void promise.then(() => asked.end());
    };
    for await (const { choices } of await openai.chat.completions.create({ ...ASK, stream: true })) if (choices[0]?.delta.content) break;
    await waitUntil('the generation of the client that left is cancelled', () => agent.asked.at(-1)?.cancelled === true);
    resolve();
    const sums = (await call(grid.url, 'GET', `/api/usage?key=${visitor.id}`, { key: grid.adminKey })).body as unknown as Sum[];
    expect(sums).toMatchObject([{ apiKey: visitor.id, model: MODEL, requests: 5, completionTokens: 42 }]);
  });

  it('keeps a stream for a client that comes back: what it missed, each event once', async () => {
    const { visitor } = await client('returning');
    const words = Array.from({ length: 30 }, (_, n) => `w${n} `);
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    script = (asked) => {
      asked.tokens(words.slice(0, 10));
      void left.then(() => {
        asked.tokens(words.slice(10));
        asked.end();
      });
    };
    const headers = { authorization: `Bearer ${visitor.key}`, 'content-type': 'application/json' };
    const first = await fetch(`${grid.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...headers, 'x-corpgrid-keep': '30' },
      body: JSON.stringify({ ...ASK, stream: true }),
    });
    const id = first.headers.get('x-corpgrid-stream') ?? '';
    const reader = (first.body ?? new ReadableStream<Uint8Array>()).getReader();
    let seen = '';
    while (!seen.includes('w9')) seen += Buffer.from((await reader.read()).value ?? []).toString('utf8');
    await reader.cancel();
    const last = [...seen.matchAll(/^id: (.+)$/gm)].at(-1)?.[1] ?? '';
    leave();
    const rest = await (await fetch(`${grid.url}/v1/streams/${id}`, { headers: { ...headers, 'last-event-id': last } })).text();
    const textOf = (events: string): string =>
      [...events.matchAll(/^data: (\{.*\})$/gm)]
        .map(([, json]) => (JSON.parse(json ?? '{}') as OpenAI.ChatCompletionChunk).choices[0]?.delta.content ?? '')
        .join('');
    expect(textOf(seen) + textOf(rest)).toBe(words.join(''));
    expect(rest).toMatch(/data: \[DONE\]\n\n$/);
    const numbers = [...(seen + rest).matchAll(/^id: .+:(\d+)$/gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(numbers.map((_, at) => at + 1));
    // From the beginning as well, and for nobody else.
    const again = await (await fetch(`${grid.url}/v1/streams/${id}?from=0`, { headers })).text();
    expect(textOf(again)).toBe(words.join(''));
    const stranger = await newKey(grid, 'stranger');
    expect((await call(grid.url, 'GET', `/v1/streams/${id}`, { key: stranger.key })).status).toBe(404);
  });
});
