import OpenAI, {
  APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, PermissionDeniedError, RateLimitError,
} from 'openai'; // prettier-ignore
import { describe, expect, it } from 'vitest';

import type { GenerationFailure } from '#actors/contract/generation.ts';
import { sseEvent } from '#actors/gateway/openai/chunks.ts';
import { BadChatRequest, generationRefused, modelNotFound, type OpenAiErrorReply, openAiError } from '#actors/gateway/openai/errors.ts';
import { ERRORS, type ErrorCode, GridError } from '#runtime/errors.ts';
import { Refusal } from '#runtime/kernel/errors.ts';

async function asSeenByTheClient({ status, body }: OpenAiErrorReply): Promise<APIError> {
  const answer = async (): Promise<Response> =>
    new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
  const client = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0, fetch: answer });
  const error: unknown = await client.models.list().then(() => undefined, (reason: unknown) => reason); // prettier-ignore
  if (error instanceof APIError) return error;
  throw new Error('the client saw no error');
}

const cases: [what: string, reply: OpenAiErrorReply, seen: unknown, expected: object][] = [
  [
    'a bad field',
    openAiError(new BadChatRequest('unknown_parameter', 'tools', 'no tools'), 'r'),
    BadRequestError,
    { status: 400, code: 'unknown_parameter', param: 'tools' },
  ],
  [
    'no key',
    openAiError(new GridError('UNAUTHENTICATED', 'no key'), 'r'),
    AuthenticationError,
    { status: 401, code: 'invalid_api_key', type: 'invalid_request_error' },
  ],
  [
    'a key that may not',
    openAiError(new GridError('FORBIDDEN', 'no'), 'r'),
    PermissionDeniedError,
    { status: 403, code: 'permission_denied' },
  ],
  ['no such model', openAiError(modelNotFound('gpt-9'), 'req-1'), NotFoundError, { status: 404, code: 'model_not_found', param: 'model' }],
  [
    'no such model, said by an actor',
    openAiError(new GridError('NOT_FOUND', 'no', { path: 'model' }), 'r'),
    NotFoundError,
    { code: 'model_not_found', param: 'model' },
  ],
  [
    'too many requests',
    openAiError(new GridError('BUSY', 'later'), 'r'),
    RateLimitError,
    { status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' },
  ],
  [
    'a model that died',
    openAiError(new GridError('MODEL_FAILED', 'it died'), 'r'),
    InternalServerError,
    { status: 503, code: 'model_failed', type: 'server_error' },
  ],
  [
    'a busy actor',
    openAiError(new Refusal('MAILBOX_FULL', 'the mailbox of /secret/path is full'), 'r'),
    InternalServerError,
    { status: 503, code: 'mailbox_full' },
  ],
  ['a crash', openAiError(new Refusal('ACTOR_CRASHED', '/x crashed'), 'r'), InternalServerError, { status: 500, code: 'internal_error' }],
  [
    'a defect',
    openAiError(new TypeError('x is not a function'), 'r'),
    InternalServerError,
    { status: 500, code: 'internal_error', type: 'server_error' },
  ],
];

describe('an error', () => {
  it.each(cases)('for %s is the class that the official client has for it', async (_what, reply, seen, expected) => {
    const error = await asSeenByTheClient(reply);
    expect(error).toBeInstanceOf(seen);
    expect(error).toMatchObject(expected);
  });

  it('never shows what went wrong inside', () => {
    for (const inside of [
      new TypeError('secret detail'),
      new GridError('INTERNAL', 'secret detail'),
      new Refusal('ASK_TIMEOUT', 'secret detail'),
      'secret detail',
      undefined,
    ]) {
      expect(JSON.stringify(openAiError(inside, 'req-7').body)).not.toContain('secret');
    }
    expect(openAiError(new Error('x'), 'req-7').body.error.message).toContain('req-7');
  });

  it('keeps the status of every code in the table', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const { status, body } = openAiError(new GridError(code, 'message', { path: 'field', fix: 'Mend it.' }), 'r');
      expect(status).toBe(ERRORS[code].status);
      expect(body.error.code).toMatch(/^[a-z_]+$/);
      if (status !== 500) expect(body.error).toMatchObject({ message: 'message Mend it.', param: 'field' });
    }
  });

  it('in the middle of a stream reaches the client as an error', async () => {
    const { body } = openAiError(new GridError('MODEL_FAILED', 'it died'), 'r');
    const answer = async (): Promise<Response> => new Response(sseEvent(body), { headers: { 'content-type': 'text/event-stream' } });
    const client = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0, fetch: answer });
    const stream = await client.chat.completions.create({ model: 'tiny', messages: [], stream: true });
    await expect((async () => { for await (const chunk of stream) expect(chunk).toBeUndefined(); })()).rejects.toBeInstanceOf(APIError); // prettier-ignore
  });
});

describe('a failed generation', () => {
  it('is the client’s to mend when its prompt does not fit', async () => {
    const error = await asSeenByTheClient(generationRefused({ code: 'CONTEXT_LENGTH', promptTokens: 812, reason: 'too long' }, 512));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: 'context_length_exceeded', param: 'messages' });
    expect(error.message).toMatch(/maximum context length is 512 tokens.*812 tokens/);
  });

  it('is the client’s to mend when the template refuses its messages', () => {
    expect(generationRefused({ code: 'PROMPT', promptTokens: 0, reason: 'roles must alternate' }, 512)).toMatchObject({
      status: 400, body: { error: { code: 'invalid_prompt', message: expect.stringContaining('roles must alternate') } },
    }); // prettier-ignore
  });

  it('names what cannot be enforced, and hands a filter’s reason on', () => {
    const failure = { promptTokens: 0, reason: 'because' };
    const shown = (code: GenerationFailure) => generationRefused({ ...failure, code }, 512);
    expect(shown('GRAMMAR')).toMatchObject({ status: 400, body: { error: { code: 'invalid_schema', param: 'response_format' } } });
    expect(shown('UNSUPPORTED')).toMatchObject({ status: 400, body: { error: { code: 'unsupported_parameter' } } });
    expect(shown('CONTENT_FILTER')).toMatchObject({ status: 400, body: { error: { code: 'content_filter', message: 'because' } } });
  });
});
