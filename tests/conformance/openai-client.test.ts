import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BABBLER, RECITER, SAYING, SCRIPTED, startConformanceGrid, type ConformanceGrid } from './conformance-grid.ts';

/** The official client against a real grid: every endpoint and field that it knows and we serve. */

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'hi' }];
const ADD: OpenAI.ChatCompletionFunctionTool = {
  type: 'function',
  function: {
    name: 'add',
    description: 'adds two numbers',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer', minimum: 0, maximum: 99 }, b: { type: 'integer', minimum: 0, maximum: 99 } },
      required: ['a', 'b'],
      additionalProperties: false,
    },
  },
};

describe('the official openai client', () => {
  let under: ConformanceGrid;
  let openai: OpenAI;

  beforeAll(async () => {
    under = await startConformanceGrid();
    openai = new OpenAI({ baseURL: under.baseURL, apiKey: under.key, maxRetries: 0 });
  });
  afterAll(() => under.end());

  const chat = (
    body: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> & Record<string, unknown> = {},
  ): Promise<OpenAI.ChatCompletion> => openai.chat.completions.create({ model: RECITER, messages, ...body });

  async function refusal(body: Record<string, unknown>): Promise<unknown> {
    return chat(body).then(
      () => null,
      (error: unknown) => error,
    );
  }

  it('lists all models over its pages', async () => {
    const ids: string[] = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    expect(ids.sort()).toEqual([BABBLER, RECITER, SCRIPTED]);
    expect(await openai.models.retrieve(RECITER)).toMatchObject({ id: RECITER, object: 'model' });
  });

  it('gets an answer that ends by itself, its usage and a request id', async () => {
    const answer = await openai.chat.completions.create({ model: RECITER, messages });
    expect(answer.choices).toMatchObject([{ index: 0, finish_reason: 'stop', message: { role: 'assistant', refusal: null } }]);
    expect(answer.choices[0]?.message.content?.trim()).toBe(SAYING.trim());
    expect(answer._request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.usage?.total_tokens).toBe((answer.usage?.prompt_tokens ?? 0) + (answer.usage?.completion_tokens ?? 0));
  });

  it('streams the same text as a whole answer has, and ends with usage', async () => {
    const fixed = { model: BABBLER, messages, seed: 4, temperature: 0.7, max_tokens: 30, deterministic: true };
    const whole = await openai.chat.completions.create(fixed as OpenAI.ChatCompletionCreateParamsNonStreaming);
    let streamed = '';
    for await (const chunk of await openai.chat.completions.create({
      ...fixed,
      stream: true,
    } as OpenAI.ChatCompletionCreateParamsStreaming))
      streamed += chunk.choices[0]?.delta.content ?? '';
    expect(streamed).toBe(whole.choices[0]?.message.content);
    const final = await openai.chat.completions
      .stream({ model: RECITER, messages, stream_options: { include_usage: true } })
      .finalChatCompletion();
    expect(final.usage?.completion_tokens).toBeGreaterThan(0);
    expect(final.choices[0]?.message.content?.trim()).toBe(SAYING.trim());
  });

  it('parses an answer by a zod schema, whole and streamed', async () => {
    const Person = z.object({ name: z.string().max(12), age: z.int().min(0).max(150), tags: z.array(z.enum(['x', 'y'])).max(3) });
    const response_format = zodResponseFormat(Person, 'person');
    const answer = await openai.chat.completions.parse({ model: BABBLER, messages, response_format, max_tokens: 400 });
    expect(Person.safeParse(answer.choices[0]?.message.parsed).success).toBe(true);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    const streamed = await openai.chat.completions
      .stream({ model: BABBLER, messages, response_format, max_tokens: 400, seed: 8 })
      .finalChatCompletion();
    expect(Person.safeParse(streamed.choices[0]?.message.parsed).success).toBe(true);
    const object = await chat({ model: BABBLER, response_format: { type: 'json_object' }, max_tokens: 2_000, seed: 3 });
    if (object.choices[0]?.finish_reason === 'stop') expect(() => JSON.parse(object.choices[0]?.message.content ?? '')).not.toThrow();
  });

  it('runs tools: each choice of them, named, required, forbidden, parallel, streamed', async () => {
    const forced = await chat({
      model: BABBLER,
      tools: [ADD],
      tool_choice: { type: 'function', function: { name: 'add' } },
      max_tokens: 300,
    });
    const [call] = forced.choices[0]?.message.tool_calls ?? [];
    expect(forced.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    expect(call).toMatchObject({ type: 'function', function: { name: 'add' } });
    const parsed = JSON.parse(call?.type === 'function' ? call.function.arguments : '') as { a: number; b: number };
    expect([parsed.a, parsed.b].every((n) => Number.isInteger(n) && n >= 0 && n <= 99)).toBe(true);

    const required = await chat({ model: BABBLER, tools: [ADD], tool_choice: 'required', parallel_tool_calls: false, max_tokens: 300 });
    expect(required.choices[0]?.message.tool_calls).toHaveLength(1);
    // A model that does not know when to end calls until its limit; what is whole of it is handed out, and nothing else.
    const endless = await chat({ model: BABBLER, tools: [ADD], tool_choice: 'required', max_tokens: 300 });
    expect(endless.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: null } });
    expect(endless.choices[0]?.message.tool_calls?.length).toBeGreaterThan(1);
    const forbidden = await chat({ model: SCRIPTED, tools: [ADD], tool_choice: 'none' });
    expect(forbidden.choices[0]?.finish_reason).toBe('stop');

    const streamed = await openai.chat.completions
      .stream({ model: BABBLER, messages, tools: [ADD], tool_choice: 'required', parallel_tool_calls: false, max_tokens: 300 })
      .finalChatCompletion();
    for (const each of streamed.choices[0]?.message.tool_calls ?? [])
      expect(() => JSON.parse(each.type === 'function' ? each.function.arguments : '')).not.toThrow();
    expect(streamed.choices[0]?.finish_reason).toBe('tool_calls');
  });

  it('goes through the tool loop to a last word', async () => {
    let sums = 0;
    const run = openai.chat.completions.runTools({
      model: SCRIPTED,
      messages,
      tools: [
        {
          type: 'function',
          function: {
            name: 'add',
            description: 'adds',
            parse: JSON.parse as (text: string) => { a: number; b: number },
            parameters: ADD.function.parameters ?? {},
            function: ({ a, b }: { a: number; b: number }) => {
              sums += 1;
              return String(a + b);
            },
          },
        },
      ],
    });
    expect(await run.finalContent()).toBe('It is 5.');
    expect(sums).toBe(1);
    const total = await run.totalUsage();
    expect(total.total_tokens).toBeGreaterThan(0);
  });

  it('gets several choices, each with its own index and seed, and usage of all of them', async () => {
    const answer = await chat({ model: BABBLER, n: 3, max_tokens: 12, seed: 5 });
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(answer.choices.map(({ message }) => message.content)).size).toBe(3);
    expect(answer.usage?.completion_tokens).toBe(36);
    const seen = new Map<number, string>();
    for await (const { choices } of await openai.chat.completions.create({
      model: BABBLER,
      messages,
      n: 3,
      max_tokens: 12,
      seed: 5,
      stream: true,
    }))
      for (const { index, delta } of choices) seen.set(index, (seen.get(index) ?? '') + (delta.content ?? ''));
    expect(seen.size).toBe(3);
  });

  it('gets log-probabilities that add up, whole and streamed', async () => {
    const answer = await chat({ model: BABBLER, logprobs: true, top_logprobs: 4, max_tokens: 8, temperature: 0 });
    const content = answer.choices[0]?.logprobs?.content ?? [];
    expect(content).toHaveLength(8);
    for (const { logprob, bytes, top_logprobs: top } of content) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(bytes?.length).toBeGreaterThan(0);
      expect(top).toHaveLength(4);
      // Greedy: the token is the likeliest one, and together they are no more than certain.
      expect(top[0]?.logprob).toBeCloseTo(logprob, 4);
      expect(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0)).toBeLessThanOrEqual(1 + 1e-6);
    }
    const text = Buffer.concat(content.map(({ bytes }) => Buffer.from(bytes ?? []))).toString('utf8');
    expect(text).toContain(answer.choices[0]?.message.content ?? '-');
    const streamed: number[] = [];
    const body = { model: BABBLER, messages, logprobs: true, max_tokens: 8, temperature: 0, stream: true } as const;
    for await (const { choices } of await openai.chat.completions.create(body))
      for (const each of choices[0]?.logprobs?.content ?? []) streamed.push(each.logprob);
    expect(streamed).toHaveLength(8);
  });

  it('stops at stop strings and token limits, and says which', async () => {
    const stopped = await chat({ stop: [' river', 'never'] });
    expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop' });
    expect(SAYING).toContain(stopped.choices[0]?.message.content ?? '-');
    expect(stopped.choices[0]?.message.content).not.toContain('river');
    const cut = await chat({ max_completion_tokens: 3 });
    expect(cut).toMatchObject({ choices: [{ finish_reason: 'length' }], usage: { completion_tokens: 3 } });
  });

  it('honours biases, penalties and the samplers of llama.cpp', async () => {
    const likeliest = await chat({ model: BABBLER, temperature: 0, max_tokens: 1, logprobs: true });
    const other = await chat({ model: BABBLER, temperature: 0, max_tokens: 1, logit_bias: { 300: 100 } });
    expect(other.choices[0]?.message.content).not.toBe(likeliest.choices[0]?.message.content);
    const greedy = await chat({ model: BABBLER, temperature: 0, max_tokens: 12, deterministic: true });
    for (const narrow of [{ top_k: 1 }, { top_p: 0 }, { min_p: 1 }]) {
      const answer = await chat({ model: BABBLER, temperature: 1.5, max_tokens: 12, deterministic: true, ...narrow });
      expect(answer.choices[0]?.message.content, JSON.stringify(narrow)).toBe(greedy.choices[0]?.message.content);
    }
    const penalised = await chat({ model: BABBLER, temperature: 0, max_tokens: 40, frequency_penalty: 2, presence_penalty: 2 });
    const plain = await chat({ model: BABBLER, temperature: 0, max_tokens: 40 });
    expect(penalised.choices[0]?.message.content).not.toBe(plain.choices[0]?.message.content);
  });

  it('completes text: prompts of all kinds, echo, log-probabilities, streamed', async () => {
    const body = { model: BABBLER, max_tokens: 5, temperature: 0 } as const;
    const one = await openai.completions.create({ ...body, prompt: 'the little' });
    expect(one).toMatchObject({ object: 'text_completion', choices: [{ index: 0, finish_reason: 'length', logprobs: null }] });
    const many = await openai.completions.create({ ...body, prompt: ['the', 'old'], n: 2, temperature: 1, seed: 2 });
    expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const tokens = await openai.completions.create({ ...body, prompt: [1, 300, 301] });
    expect(tokens.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 5 });
    const echoed = await openai.completions.create({ ...body, prompt: 'the little', echo: true });
    expect(echoed.choices[0]?.text).toBe(`the little${one.choices[0]?.text}`);
    const likely = await openai.completions.create({ ...body, prompt: 'the', logprobs: 3 });
    expect(likely.choices[0]?.logprobs?.tokens).toHaveLength(5);
    expect(Object.keys(likely.choices[0]?.logprobs?.top_logprobs?.[0] ?? {}).length).toBeGreaterThanOrEqual(1);
    let text = '';
    let usage = 0;
    for await (const chunk of await openai.completions.create({
      ...body,
      prompt: 'the little',
      stream: true,
      stream_options: { include_usage: true },
    })) {
      text += chunk.choices[0]?.text ?? '';
      usage += chunk.usage?.completion_tokens ?? 0;
    }
    expect(text).toBe(one.choices[0]?.text);
    expect(usage).toBe(5);
  });

  it('answers in the Responses API, whole and streamed, with the same text', async () => {
    const body = { model: RECITER, input: 'hi', instructions: 'be brief' };
    const whole = await openai.responses.create(body);
    expect(whole).toMatchObject({ object: 'response', status: 'completed', error: null, store: false, instructions: 'be brief' });
    expect(whole.output_text.trim()).toBe(SAYING.trim());
    expect(whole.usage?.total_tokens).toBe((whole.usage?.input_tokens ?? 0) + (whole.usage?.output_tokens ?? 0));
    const stream = openai.responses.stream(body);
    const types: string[] = [];
    const numbers: number[] = [];
    for await (const event of stream) {
      types.push(event.type);
      numbers.push(event.sequence_number);
    }
    expect((await stream.finalResponse()).output_text).toBe(whole.output_text);
    expect(numbers).toEqual(numbers.map((_, at) => at));
    expect([types[0], types.at(-1)]).toEqual(['response.created', 'response.completed']);
    const cut = await openai.responses.create({ ...body, max_output_tokens: 3 });
    expect(cut).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
  });

  it('calls functions and follows schemas in the Responses API, over several turns', async () => {
    const tools = [{ type: 'function' as const, name: 'add', parameters: ADD.function.parameters ?? {}, strict: true }];
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: [{ type: 'input_text', text: 'add' }] }];
    const first = await openai.responses.create({ model: SCRIPTED, input, tools });
    const [call] = first.output;
    if (call?.type !== 'function_call') throw new Error(`no call but ${JSON.stringify(first.output)}`);
    expect(JSON.parse(call.arguments)).toEqual({ a: 2, b: 3 });
    const result = { type: 'function_call_output' as const, call_id: call.call_id, output: '5' };
    const second = await openai.responses.create({
      model: SCRIPTED,
      input: [...input, ...first.output, result] as OpenAI.Responses.ResponseInput,
      tools,
    });
    expect(second.output_text).toBe('It is 5.');
    const streamed = await openai.responses
      .stream({ model: BABBLER, input: 'x', tools, tool_choice: { type: 'function', name: 'add' }, max_output_tokens: 300 })
      .finalResponse();
    expect(streamed.output).toMatchObject([{ type: 'function_call', name: 'add', status: 'completed' }]);
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false };
    const text = { format: { type: 'json_schema' as const, name: 'flag', schema, strict: true } };
    const flag = await openai.responses.create({ model: BABBLER, input: 'x', text, max_output_tokens: 100 });
    expect(typeof (JSON.parse(flag.output_text) as { ok: boolean }).ok).toBe('boolean');
  });

  it('refuses by name what the Responses API cannot do here', async () => {
    const wrong: readonly [object, string][] = [
      [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
      [{ background: true }, 'background'],
      [{ conversation: 'conv_1' }, 'conversation'],
      [{ include: ['reasoning.encrypted_content'] }, 'include'],
      [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
      [{ tool_choice: 'required' }, 'tool_choice'],
      [
        { text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object', patternProperties: { a: {} } } } } },
        'text.format.schema',
      ],
    ];
    for (const [more, param] of wrong) {
      const error = await openai.responses.create({ model: RECITER, input: 'hi', ...more }).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error, param).toBeInstanceOf(BadRequestError);
      expect((error as BadRequestError).param, param).toContain(param);
    }
  });

  it('embeds, in both encodings, cut to fewer dimensions', async () => {
    const plain = await openai.embeddings.create({ model: SCRIPTED, input: ['a', 'bb'], encoding_format: 'float' });
    expect(plain).toMatchObject({ object: 'list', data: [{ index: 0, object: 'embedding' }, { index: 1 }], usage: { prompt_tokens: 7 } });
    // The client asks for base64 by itself and decodes it.
    const coded = await openai.embeddings.create({ model: SCRIPTED, input: ['a', 'bb'] });
    coded.data.forEach(({ embedding }, at) => {
      expect(embedding).toHaveLength(8);
      embedding.forEach((value, dimension) => expect(value).toBeCloseTo(plain.data[at]?.embedding[dimension] ?? Number.NaN, 6));
    });
    const cut = await openai.embeddings.create({ model: SCRIPTED, input: 'a', dimensions: 3 });
    expect(Math.hypot(...(cut.data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
    expect(cut.data[0]?.embedding).toHaveLength(3);
  });

  it('ranks documents', async () => {
    const body = {
      model: SCRIPTED,
      query: 'fox',
      documents: ['a bear', 'a fox', { text: 'another fox' }],
      top_n: 2,
      return_documents: true,
    };
    const answer = (await openai.post<{ results: unknown[] }>('/rerank', { body })) as { results: unknown[] };
    expect(answer.results).toEqual([
      { index: 1, relevance_score: 0.9, document: { text: 'a fox' } },
      { index: 2, relevance_score: 0.9, document: { text: 'another fox' } },
    ]);
  });

  it('raises its own error classes with OpenAI’s codes, and names the field', async () => {
    const unknown = await refusal({ model: 'nope' });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ code: 'model_not_found', param: 'model' });
    const wrong: readonly [Record<string, unknown>, string][] = [
      [{ messages: [] }, 'messages'],
      [{ audio: { voice: 'alloy', format: 'mp3' } }, 'audio'],
      [{ modalities: ['audio'] }, 'modalities'],
      [{ prediction: { type: 'content', content: 'x' } }, 'prediction'],
      [{ web_search_options: {} }, 'web_search_options'],
      [{ functions: [] }, 'functions'],
      [{ top_logprobs: 2 }, 'top_logprobs'],
      [{ tool_choice: 'required' }, 'tool_choice'],
      [{ stream_options: { include_usage: true } }, 'stream_options'],
      [{ logit_bias: { word: 1 } }, 'logit_bias.word'],
      [{ temperature: 3 }, 'temperature'],
      [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] }, 'messages[0].content[0].type'],
    ];
    for (const [body, param] of wrong) {
      const error = await refusal(body);
      expect(error, JSON.stringify(body)).toBeInstanceOf(BadRequestError);
      expect(
        (error as BadRequestError).param?.startsWith(param.split('[')[0] ?? param),
        `${param}: ${(error as BadRequestError).param}`,
      ).toBe(true);
    }
  });

  it('ends a stream that the client aborts', async () => {
    const abort = new AbortController();
    let chunks = 0;
    const body = { model: BABBLER, messages, stream: true, max_tokens: 3_000 } as const;
    const reading = (async () => {
      for await (const _ of await openai.chat.completions.create(body, { signal: abort.signal })) if (++chunks === 3) abort.abort();
    })();
    await reading.catch((error: unknown) => expect(error).toBeInstanceOf(APIUserAbortError));
    expect(chunks).toBeLessThan(100);
  });
});
