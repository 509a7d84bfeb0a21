import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ChatMessage, SamplingOptions } from '#actors/contract/generation.ts';
import { BadChatRequest, openAiError } from '#actors/gateway/openai/errors.ts';
import { type ChatRequest, parseChatRequest } from '#actors/gateway/openai/schema.ts';

const minimal = { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] };
const TOOL = { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'integer' } } } } };
const schemaFormat = (schema: unknown) => ({ type: 'json_schema', json_schema: { name: 's', schema } });
const parse = (body: unknown): ChatRequest => parseChatRequest(body, () => 4711);

function refusal(body: unknown): { message: string; param: string | null; code: string | null } {
  try {
    parse(body);
  } catch (error) {
    const { status, body: answer } = openAiError(error, 'req-1');
    expect(status).toBe(400);
    expect(answer.error.type).toBe('invalid_request_error');
    return answer.error;
  }
  throw new Error('the request should have been refused');
}

describe('a chat request', () => {
  it('needs a model and messages, and gets OpenAI’s defaults', () => {
    expect(parse(minimal)).toEqual({
      model: 'tiny', stream: false, includeUsage: false, n: 1, logprobs: false, calls: false,
      request: { messages: minimal.messages, sampling: { maxTokens: 1_000_000, temperature: 1, topP: 1, seed: 4711, stop: [], seedPerPosition: true } },
    }); // prettier-ignore
  });

  it('may say everything that is served', () => {
    const request = parse({
      ...minimal, stream: true, stream_options: { include_usage: true }, max_completion_tokens: 9, temperature: 0, top_p: 0.5, seed: -1, stop: ['a', 'b'],
      n: 1, frequency_penalty: 0, presence_penalty: 0, logprobs: false, response_format: { type: 'text' }, user: 'u', metadata: { a: 'b' }, store: true,
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'one' }, { type: 'text', text: 'two' }] },
        { role: 'assistant', content: 'three', refusal: null },
        { role: 'system', content: '' },
      ],
    }); // prettier-ignore
    expect(request.stream && request.includeUsage).toBe(true);
    expect(request.request.sampling).toEqual({ maxTokens: 9, temperature: 0, topP: 0.5, seed: 0xffff_ffff, stop: ['a', 'b'] });
    expect(parse({ ...minimal, top_k: 5, min_p: 0.1, logit_bias: { 7: -100 }, frequency_penalty: 1, presence_penalty: -1, logprobs: true, top_logprobs: 3, n: 2 })).toMatchObject({
      n: 2, logprobs: true,
      request: { sampling: { topK: 5, minP: 0.1, logitBias: [{ token: 7, bias: -100 }], frequencyPenalty: 1, presencePenalty: -1, logprobs: 3 } },
    }); // prettier-ignore
    expect(parse({ ...minimal, tools: [TOOL], tool_choice: 'required', parallel_tool_calls: false })).toMatchObject({
      calls: true,
      request: { toolUse: { choice: 'required', parallel: false, tools: [{ name: 'f' }] }, grammar: expect.stringContaining('root ::=') },
    });
    expect(request.request.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one\ntwo' },
      { role: 'assistant', content: 'three' },
      { role: 'system', content: '' },
    ]);
  });

  it('may say null for what it does not say', () => {
    const nothing = {
      stream: null,
      stream_options: null,
      max_tokens: null,
      temperature: null,
      top_p: null,
      seed: null,
      stop: null,
      n: null,
      user: null,
      metadata: null,
      store: null,
    };
    expect(parse({ ...minimal, ...nothing })).toEqual(parse(minimal));
  });

  it('may give the limit by either name', () => {
    expect(parse({ ...minimal, max_tokens: 5 }).request.sampling.maxTokens).toBe(5);
    expect(parse({ ...minimal, max_tokens: 5, max_completion_tokens: 5 }).request.sampling.maxTokens).toBe(5);
    expect(parse({ ...minimal, stop: 'x' }).request.sampling.stop).toEqual(['x']);
  });

  it('may ask for a top_p of 0: the likeliest token only', () => {
    expect(parse({ ...minimal, top_p: 0 }).request.sampling.topP).toBeGreaterThan(0);
  });

  const user = (content: unknown) => ({ ...minimal, messages: [{ role: 'user', content }] });
  const wrong: [what: string, body: unknown, param: string | null, code: string, message: RegExp][] = [
    ['no JSON object', [], null, 'invalid_type', /JSON object/],
    ['null', null, null, 'invalid_type', /JSON object/],
    ['no model', { messages: minimal.messages }, 'model', 'missing_required_parameter', /Missing required parameter: 'model'/],
    ['no messages', { model: 'tiny' }, 'messages', 'missing_required_parameter', /messages/],
    ['empty messages', { ...minimal, messages: [] }, 'messages', 'invalid_value', /messages/],
    ['a model that is a number', { ...minimal, model: 3 }, 'model', 'invalid_type', /expected string/],
    ['a field that nobody knows', { ...minimal, top_q: 1 }, 'top_q', 'unknown_parameter', /Unknown parameter: 'top_q'/],
    ['functions of the old kind', { ...minimal, functions: [] }, 'functions', 'unsupported_parameter', /not supported/],
    ['a choice among no tools', { ...minimal, tool_choice: 'required' }, 'tool_choice', 'invalid_value', /needs 'tools'/],
    [
      'a choice of a tool that is not there',
      { ...minimal, tools: [TOOL], tool_choice: { type: 'function', function: { name: 'g' } } },
      'tool_choice',
      'invalid_value',
      /'g'/,
    ],
    ['two tools of one name', { ...minimal, tools: [TOOL, TOOL] }, 'tools[1].function.name', 'invalid_value', /another tool/],
    ['a tool of another kind', { ...minimal, tools: [{ type: 'web_search' }] }, 'tools[0].type', 'invalid_value', /function/],
    [
      'a schema that cannot be enforced',
      { ...minimal, response_format: schemaFormat({ type: 'string', pattern: 'x' }) },
      'response_format.json_schema.schema.pattern',
      'invalid_schema',
      /cannot be enforced/,
    ],
    [
      'a tool whose schema cannot be enforced',
      {
        ...minimal,
        tools: [
          {
            type: 'function',
            function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string', pattern: 'x' } } } },
          },
        ],
      },
      'tools[0].function.parameters.properties.a.pattern',
      'invalid_schema',
      /cannot be enforced/,
    ],
    ['alternatives without log probabilities', { ...minimal, top_logprobs: 2 }, 'top_logprobs', 'invalid_value', /logprobs/],
    ['too many choices', { ...minimal, n: 129 }, 'n', 'invalid_value', /n/],
    ['a penalty out of range', { ...minimal, frequency_penalty: 3 }, 'frequency_penalty', 'invalid_value', /frequency/],
    ['a bias on a word', { ...minimal, logit_bias: { word: 1 } }, 'logit_bias.word', 'invalid_value', /logit_bias/],
    [
      'a tool’s answer to nothing',
      { ...minimal, messages: [{ role: 'tool', content: 'x' }] },
      'messages[0].tool_call_id',
      'missing_required_parameter',
      /tool_call_id/,
    ],
    ['a temperature above 2', { ...minimal, temperature: 2.5 }, 'temperature', 'invalid_value', /temperature/],
    ['a temperature in words', { ...minimal, temperature: 'hot' }, 'temperature', 'invalid_type', /expected number/],
    ['no tokens', { ...minimal, max_tokens: 0 }, 'max_tokens', 'invalid_value', /max_tokens/],
    [
      'two limits that differ',
      { ...minimal, max_tokens: 1, max_completion_tokens: 2 },
      'max_tokens',
      'invalid_value',
      /max_completion_tokens/,
    ],
    ['five stop strings', { ...minimal, stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', 'invalid_value', /stop/],
    ['an empty stop string', { ...minimal, stop: ['a', ''] }, 'stop[1]', 'invalid_value', /stop\[1\]/],
    ['half a character to stop at', { ...minimal, stop: '\ud83d' }, 'stop', 'invalid_value', /Unicode/],
    [
      'stream options without a stream',
      { ...minimal, stream_options: { include_usage: true } },
      'stream_options',
      'invalid_value',
      /'stream' is true/,
    ],
    [
      'a stream option that nobody knows',
      { ...minimal, stream: true, stream_options: { usage: 1 } },
      'stream_options.usage',
      'unknown_parameter',
      /Unknown/,
    ],
    [
      'a role that does not exist',
      { ...minimal, messages: [{ role: 'robot', content: 'x' }] },
      'messages[0].role',
      'invalid_value',
      /supported: "system"/,
    ],
    [
      'a message without a role',
      { ...minimal, messages: [{ content: 'x' }] },
      'messages[0].role',
      'missing_required_parameter',
      /messages\[0\]\.role/,
    ],
    [
      'a message without content',
      { ...minimal, messages: [{ role: 'user' }] },
      'messages[0].content',
      'missing_required_parameter',
      /content/,
    ],
    ['a name', { ...minimal, messages: [{ role: 'user', content: 'x', name: 'y' }] }, 'messages[0].name', 'unsupported_parameter', /name/],
    ['a number for content', user(5), 'messages[0].content', 'invalid_value', /a string or a list/],
    ['a picture', user([{ type: 'text', text: 'a' }, { type: 'image_url', image_url: { url: 'x' } }]), 'messages[0].content[1].type', 'invalid_value', /supported: "text"/], // prettier-ignore
    [
      'a text part with more in it',
      user([{ type: 'text', text: 'a', cache: 1 }]),
      'messages[0].content[0].cache',
      'unknown_parameter',
      /Unknown/,
    ],
    ['a metadata value that is no text', { ...minimal, metadata: { a: 1 } }, 'metadata.a', 'invalid_type', /metadata\.a/],
  ];

  it.each(wrong)('with %s is refused by the name of its field', (_what, body, param, code, message) => {
    const error = refusal(body);
    expect({ param: error.param, code: error.code }).toEqual({ param, code });
    expect(error.message).toMatch(message);
  });

  it('is refused, whatever its extra field is called', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 200 }), fc.jsonValue(), (key, value) => {
        fc.pre(!Object.hasOwn(parsedKeys, key));
        const body = Object.fromEntries([...Object.entries(minimal), [key, value]]);
        const error = refusal(body);
        expect(error.param).toBe(key.slice(0, 100));
      }),
      { numRuns: 500, seed: 20260104 },
    );
  });

  it('ends in a request of the contract or in a refusal, whatever it is', () => {
    const known = fc.constantFrom(...Object.keys(parsedKeys), 'tools', 'x');
    const near = fc.dictionary(known, fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.double(), fc.constantFrom('tiny', 1, 0, null, true)));
    const message = fc.record({
      role: fc.constantFrom('user', 'assistant', 'system', 'developer', 'tool', 7),
      content: fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 })),
    });
    const sound = fc.record(
      {
        model: fc.constant('tiny'), messages: fc.array(message, { minLength: 1, maxLength: 2 }), stream: fc.boolean(), max_tokens: fc.integer({ min: 1, max: 1_000_000 }),
        temperature: fc.double({ min: 0, max: 2, noNaN: true }), top_p: fc.double({ min: 0, max: 1, noNaN: true }), seed: fc.maxSafeInteger(), stop: fc.array(fc.string({ minLength: 1, unit: 'grapheme' }), { maxLength: 4 }),
      },
      { requiredKeys: ['model', 'messages'] },
    ); // prettier-ignore
    const bodies = fc.oneof(
      fc.jsonValue(),
      near,
      sound,
      fc.tuple(near, fc.array(message, { maxLength: 3 })).map(([rest, messages]) => ({ ...rest, model: 'tiny', messages })),
    );
    let taken = 0;
    fc.assert(
      fc.property(bodies, (body) => {
        try {
          const request = parse(body);
          taken += 1;
          SamplingOptions.parse(request.request.sampling);
          for (const each of request.request.messages ?? []) ChatMessage.parse(each);
        } catch (error) {
          if (!(error instanceof BadChatRequest)) throw error;
          expect(error.message.length).toBeLessThan(1000);
        }
      }),
      { numRuns: 3000, seed: 20260105 },
    );
    expect(taken).toBeGreaterThan(100);
  });
});

/** Every field that the API takes. */
const parsedKeys: Record<string, true> = Object.fromEntries(
  ['model', 'messages', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'seed', 'stop', 'n', 'frequency_penalty',
    'presence_penalty', 'logprobs', 'response_format', 'user', 'metadata', 'store', 'top_k', 'min_p', 'logit_bias', 'top_logprobs', 'tools', 'tool_choice',
    'parallel_tool_calls', 'service_tier'].map((key) => [key, true]),
); // prettier-ignore
