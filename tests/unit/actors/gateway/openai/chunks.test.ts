import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import type { TokenLogprob } from '#actors/contract/generation.ts';
import {
  chatCompletion, type ChoiceReading, ChoiceStream, modelList, modelObject, SSE_DONE, SSE_KEEP_ALIVE, usageEvent, usageOf, WholeChoice,
} from '#actors/gateway/openai/chunks.ts'; // prettier-ignore

const HEAD = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'tiny' };
const USAGE = usageOf({ promptTokens: 3, completionTokens: 2, cachedTokens: 1 });
const PLAIN: ChoiceReading = { logprobs: false, calls: false, callId: (n) => `call_${n}` };
const CALLS: ChoiceReading = { ...PLAIN, calls: true };
const CALL =
  'I add.<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>';

const token = (text: string): TokenLogprob => ({
  token: 1,
  logprob: -0.5,
  bytes: new TextEncoder().encode(text),
  top: [{ token: 2, logprob: -1, bytes: Uint8Array.of(0xe2, 0x82) }],
});

/** What the official client makes of an answer's body. */
function clientOf(body: string, type: string): OpenAI {
  const answer = async (): Promise<Response> => new Response(body, { headers: { 'content-type': type } });
  return new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0, fetch: answer });
}
const ASKED = { model: 'tiny', messages: [{ role: 'user' as const, content: 'hi' }] };

function streamOf(pieces: readonly string[], reading: ChoiceReading): string {
  const stream = new ChoiceStream(HEAD, 0, { reading, withUsage: true });
  const events = pieces.map((piece) => stream.text(piece, reading.logprobs ? [token(piece)] : []));
  return [SSE_KEEP_ALIVE, stream.role(), ...events, stream.finished('stop'), usageEvent(HEAD, USAGE), SSE_DONE].join('');
}

describe('a whole answer', () => {
  it('is read by the official client, with log-probabilities of broken characters too', async () => {
    const choice = new WholeChoice(0, { ...PLAIN, logprobs: true });
    choice.text('Hel', [token('Hel')]);
    choice.text('lo', [token('lo')]);
    choice.finished('length');
    const body = JSON.stringify(chatCompletion(HEAD, [choice], USAGE));
    const answer = await clientOf(body, 'application/json').chat.completions.create(ASKED);
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', message: { role: 'assistant', content: 'Hello', refusal: null } });
    expect(answer.choices[0]?.logprobs?.content).toEqual(
      ['Hel', 'lo'].map((text) => ({
        token: text, logprob: -0.5, bytes: [...Buffer.from(text)], top_logprobs: [{ token: '\ufffd', logprob: -1, bytes: [0xe2, 0x82] }],
      })),
    ); // prettier-ignore
    expect(answer.usage).toEqual({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, prompt_tokens_details: { cached_tokens: 1 } });
  });

  it('tells calls from text', () => {
    const choice = new WholeChoice(0, CALLS);
    choice.text(CALL, []);
    choice.finished('stop');
    expect(choice.toJSON()).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: 'I add.', tool_calls: [{ id: 'call_0', function: { name: 'add', arguments: '{"a": 1}' } }, { id: 'call_1' }] },
    });
    const only = new WholeChoice(0, CALLS);
    only.text(CALL.slice(6), []);
    only.finished('stop');
    expect(only.toJSON()).toMatchObject({ message: { content: null } });
  });
});

describe('a streamed answer', () => {
  it.each([1, 2, 3, 7, 1_000])('is the same for the official client when its text comes in pieces of %d', async (size) => {
    const pieces = CALL.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
    const body = streamOf(pieces, CALLS);
    const answer = await clientOf(body, 'text/event-stream').chat.completions.stream(ASKED).finalChatCompletion();
    expect(answer.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'I add.',
        tool_calls: [
          { id: 'call_0', type: 'function', function: { name: 'add', arguments: '{"a": 1}' } },
          { id: 'call_1', type: 'function', function: { name: 'add', arguments: '{}' } },
        ],
      },
    });
    expect(answer.usage).toEqual(USAGE);
  });

  it('says null for usage in every chunk but the last, and carries log-probabilities', () => {
    const body = streamOf(['a', 'b'], { ...PLAIN, logprobs: true });
    const chunks = body.split('\n\n').filter((event) => event.startsWith('data: {')).map((event) => JSON.parse(event.slice(6)) as OpenAI.ChatCompletionChunk); // prettier-ignore
    expect(chunks.map(({ usage }) => usage)).toEqual([...Array.from({ length: chunks.length - 1 }, () => null), USAGE]);
    expect(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []).map(({ token: text }) => text)).toEqual(['a', 'b']);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason ?? null)).toEqual([null, null, null, 'stop', null]);
  });

  it('never writes a line break inside an event', () => {
    const stream = new ChoiceStream(HEAD, 0, { reading: PLAIN, withUsage: false });
    const event = stream.text('a\n\nb\r\u2028', []);
    expect(event.trimEnd().split('\n')).toHaveLength(1);
    expect(stream.text('', [])).toBe('');
  });
});

describe('models', () => {
  it('are listed as objects', () => {
    expect(modelList([modelObject('tiny', 5)])).toEqual({
      object: 'list',
      data: [{ id: 'tiny', object: 'model', created: 5, owned_by: 'corpgrid' }],
    });
  });
});
