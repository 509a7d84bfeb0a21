import type { Failure } from '#actors/generation/generation.state.ts';
import { asRefusal } from '#runtime/database/connection-errors.ts';
import { GridError, isListed, statusOf } from '#runtime/errors.ts';
import { Refusal } from '#runtime/kernel/errors.ts';

import { RateLimited } from './admission.ts';

/**
 * Errors as OpenAI's clients know them: they choose their error class by the status and show `message`; programs look at
 * `code` and `param`.
 */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: 'invalid_request_error' | 'rate_limit_error' | 'server_error';
    /** The offending field, as in `messages[0].content`. */
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface OpenAiErrorReply {
  readonly status: number;
  readonly body: OpenAiErrorBody;
}

/** A request that is wrong in itself. `openAiError` shows it as it is. */
export class BadChatRequest extends GridError {
  /** OpenAI's code for it. */
  readonly openAiCode: string;

  constructor(openAiCode: string, param: string, message: string) {
    super('BAD_REQUEST', message, param === '' ? {} : { path: param });
    this.openAiCode = openAiCode;
  }
}

/** OpenAI's names for the refusals that have one there; the rest keep theirs, in lower case. */
const CODES: Readonly<Record<string, string>> = {
  UNAUTHENTICATED: 'invalid_api_key',
  FORBIDDEN: 'permission_denied',
  BUSY: 'rate_limit_exceeded',
  TOO_LARGE: 'request_too_large',
  INTERNAL: 'internal_error',
};

/** Refusals that are somebody's defect and not a passing state. */
const DEFECTS = new Set(['INTERNAL', 'INSECURE_KEY', 'ACTOR_CRASHED']);

function typeOf(status: number): OpenAiErrorBody['error']['type'] {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

function reply(status: number, code: string | null, message: string, param: string | null = null): OpenAiErrorReply {
  return { status, body: { error: { message, type: typeOf(status), param, code } } };
}

/** What is answered to any thrown value. Nothing of a defect is shown but the request's id, which finds it in the log. */
export function openAiError(thrown: unknown, requestId: string): OpenAiErrorReply {
  const error = asRefusal(thrown);
  if (error instanceof RateLimited && error.admission.limit === 'budget') return reply(429, 'insufficient_quota', error.message);
  if (error instanceof BadChatRequest) return reply(400, error.openAiCode, error.message, error.path ?? null);
  if (isListed(error) && statusOf(error) !== 500) {
    const message = error.fix === undefined ? error.message : `${error.message} ${error.fix}`;
    if (error.code === 'NOT_FOUND')
      return reply(404, error.path === 'model' ? 'model_not_found' : 'not_found', message, error.path ?? null);
    return reply(statusOf(error), CODES[error.code] ?? error.code.toLowerCase(), message, error.path ?? null);
  }
  // The kernel's own refusals: a mailbox is full, a part is gone, an answer took too long. All of them pass.
  if (Refusal.is(error) && !DEFECTS.has(error.code))
    return reply(503, error.code.toLowerCase(), 'The grid could not answer this request right now. Try again.');
  return reply(500, 'internal_error', `The grid failed at this request. Its id is ${requestId}.`);
}

/** The model is not offered by any machine, or not to this key. */
export function modelNotFound(model: string): GridError {
  return new GridError('NOT_FOUND', `The model '${model}' does not exist or you do not have access to it.`, { path: 'model' });
}

/**
 * What is answered when a model cannot take a request, here or anywhere: it is the client's to mend.
 *
 * @param contextSize of the model, in tokens
 * @param param the field that the prompt came in
 */
export function generationRefused({ code, reason, promptTokens }: Failure, contextSize: number, param = 'messages'): OpenAiErrorReply {
  if (code === 'CONTEXT_LENGTH') {
    const text = `This model's maximum context length is ${contextSize} tokens. However, your ${param} resulted in ${promptTokens} tokens. Please reduce the length of the ${param}.`;
    return reply(400, 'context_length_exceeded', text, param);
  }
  if (code === 'CONTENT_FILTER') return reply(400, 'content_filter', reason, param);
  if (code === 'GRAMMAR') return reply(400, 'invalid_schema', `The schema cannot be enforced: ${reason}`, 'response_format');
  if (code === 'UNSUPPORTED') return reply(400, 'unsupported_parameter', `The model's engine cannot do this: ${reason}`);
  return reply(400, 'invalid_prompt', `The model cannot take this request: ${reason}.`, param);
}
