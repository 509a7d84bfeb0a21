import { createParser } from 'eventsource-parser';
import { z } from 'zod';

import type { GenerationFailure } from '#actors/contract/generation.ts';

/** Characters that one event, or an answer that is no stream, may have. */
const LARGEST_ANSWER = 8 * 1024 * 1024;

/** What a served engine answered instead of a result. */
export class ServedError extends Error {
  readonly code: GenerationFailure;
  readonly retryAfterMs: number | undefined;

  constructor(code: GenerationFailure, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Both of the forms that servers report errors in. */
const ErrorBody = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });

export interface HttpClient {
  /** @throws ServedError for any answer but 200, and for one that `schema` does not know */
  get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>;
  post<T>(path: string, body: unknown, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>;
  /** The data of server-sent events, until the server ends the stream. Not reading on is back-pressure. */
  events(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<string>;
}

/**
 * @param base with or without a path; paths are appended to it
 * @param key a bearer token
 */
export function createHttpClient(base: string, key: string | undefined): HttpClient {
  const root = base.replace(/\/+$/, '');
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) };

  async function request(path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      // A redirect could carry prompts to where nobody meant them to go.
      const how = body === undefined ? { method: 'GET' } : { method: 'POST', body: JSON.stringify(body) };
      response = await fetch(`${root}${path}`, { ...how, headers, signal, redirect: 'error' });
    } catch (cause) {
      throw new ServedError('UPSTREAM', `the server cannot be reached: ${causeOf(cause)}`, { cause });
    }
    if (response.status === 200) return response;
    const text = await readText(response).catch(() => '');
    throw errorOf(response, text);
  }

  return {
    get: async (path, schema, signal) => parse(schema, await readText(await request(path, undefined, signal))),
    post: async (path, body, schema, signal) => parse(schema, await readText(await request(path, body, signal))),
    async *events(path, body, signal) {
      const response = await request(path, body, signal);
      const decoder = new TextDecoder();
      const data: string[] = [];
      let tooLarge = false;
      const parser = createParser({
        onEvent: (event) => void data.push(event.data),
        onError: (error) => void (tooLarge ||= error.type === 'max-buffer-size-exceeded'),
        maxBufferSize: LARGEST_ANSWER,
      });
      try {
        for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array> | Uint8Array[]) {
          parser.feed(decoder.decode(chunk, { stream: true }));
          if (tooLarge) throw new ServedError('UPSTREAM', `the server sent an event of more than ${LARGEST_ANSWER} characters`);
          yield* data.splice(0);
        }
      } catch (cause) {
        if (cause instanceof ServedError) throw cause;
        throw new ServedError('UPSTREAM', `the stream broke off: ${causeOf(cause)}`, { cause });
      }
    },
  };
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array> | Uint8Array[]) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LARGEST_ANSWER) throw new ServedError('UPSTREAM', `the server sent more than ${LARGEST_ANSWER} characters`);
  }
  return text;
}

/** @throws ServedError when the server said something that this engine does not say */
export function parse<T>(schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ServedError('UPSTREAM', 'the server answered with something that is no JSON', { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ServedError('UPSTREAM', `the server's answer is not understood: ${issue?.path.join('.')}: ${issue?.message}`);
}

function errorOf(response: Response, text: string): ServedError {
  let said = text.slice(0, 500);
  try {
    const { error } = ErrorBody.parse(JSON.parse(text));
    said = typeof error === 'string' ? error : error.message;
  } catch {
    // What it said stays as it is: a proxy's page, for example.
  }
  const seconds = Number(response.headers.get('retry-after'));
  const wait = Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: Math.min(seconds, 3600) * 1000 } : {};
  return new ServedError(codeOf(response.status, said), `${response.status}: ${said}`, wait);
}

function codeOf(status: number, said: string): GenerationFailure {
  if (status === 429) return 'BUSY';
  if (status !== 400 && status !== 413 && status !== 422) return 'UPSTREAM';
  if (/context|too (long|many tokens)|maximum.*tokens/i.test(said)) return 'CONTEXT_LENGTH';
  if (/grammar|schema/i.test(said)) return 'GRAMMAR';
  if (/content.?(filter|policy)/i.test(said)) return 'CONTENT_FILTER';
  return 'PROMPT';
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}
