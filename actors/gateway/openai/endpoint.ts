import type { FastifyReply } from 'fastify';

import type { FoundModel } from '#actors/model-pool/model-pool.protocol.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';

import type { GatewayArgs } from '../gateway.ts';
import { type Admitted, type Door, RateLimited } from './admission.ts';
import { modelNotFound, type OpenAiErrorReply } from './errors.ts';

const ASK = { timeoutMs: 5_000 };
/** Tokens that an answer is taken to have until it is there, when it may have more. */
const USUAL_TOKENS = 1_024;
const BYTES_PER_TOKEN = 4;

/** What the endpoints of the OpenAI door work with. */
export interface OpenAiContext {
  readonly args: GatewayArgs;
  readonly door: Door;
}

/** A request to an endpoint, however it came: by HTTP or as a line of a batch. */
export interface Call {
  readonly by: Principal;
  readonly body: unknown;
  readonly requestId: string;
}

/** An answer that is on its way as a whole. */
export interface Whole {
  readonly headers: Readonly<Record<string, string>>;
  readonly over: Promise<{ readonly status: number; readonly body: object; readonly device?: string }>;
  cancel(): void;
}

/** A request that was let in to a model that exists. */
export interface Entered {
  readonly found: FoundModel;
  readonly admitted: Admitted;
}

/**
 * @param answerTokens that the request allows at most, over all choices
 * @throws GridError NOT_FOUND for the model; RateLimited
 */
export async function enter({ args, door }: OpenAiContext, { by, body }: Call, model: string, answerTokens: number): Promise<Entered> {
  const found = await args.models.find(model, ASK);
  if (found === null) throw modelNotFound(model);
  const admitted = await door.admit(by, () => estimate(body, answerTokens));
  return { found, admitted };
}

/** Of text we know the size and not yet the tokens. */
function estimate(body: unknown, answerTokens: number): number {
  return Math.ceil(JSON.stringify(body).length / BYTES_PER_TOKEN) + Math.min(answerTokens, USUAL_TOKENS);
}

export function newSeed({ args }: OpenAiContext): () => number {
  return () => Math.floor(args.host.random() * 0x1_0000_0000);
}

export function nowInSeconds({ args }: OpenAiContext): number {
  return Math.floor(args.host.clock.wall() / 1_000);
}

/** Names for so many choices; the receipt of each is found under its own. */
export function answerNames({ args }: OpenAiContext, first: string, count: number): { names: string[]; headers: Record<string, string> } {
  const names = Array.from({ length: count }, (_, i) => (i === 0 ? first : args.randomId()));
  return { names, headers: { 'x-corpgrid-receipt': names.join(', ') } };
}

/** When to come back, if the refusal says so. */
export function retryHeaders(error: unknown, status: number): Record<string, string> {
  if (error instanceof RateLimited) {
    const { headers, retryAfterMs } = error.admission;
    return {
      ...headers,
      'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))),
      'retry-after-ms': String(Math.ceil(retryAfterMs)),
    };
  }
  return status === 429 || status === 503 ? { 'retry-after': '1' } : {};
}

export async function sendError(reply: FastifyReply, { status, body }: OpenAiErrorReply): Promise<FastifyReply> {
  return reply.code(status).headers(retryHeaders(null, status)).send(body);
}

/** Answers a request with a whole answer. A client that leaves takes its work with it: nobody computes for a closed socket. */
export async function sendWhole(reply: FastifyReply, whole: Whole): Promise<FastifyReply> {
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) whole.cancel();
  });
  const { status, body, device } = await whole.over;
  if (reply.raw.destroyed) return reply.hijack();
  if (device !== undefined) void reply.header('x-corpgrid-device', device);
  return reply
    .code(status)
    .headers({ ...whole.headers, ...retryHeaders(null, status) })
    .send(body);
}
