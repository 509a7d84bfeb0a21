import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';

import { explainIssues } from '#actors/contract/explain.ts';
import type { ProblemJson } from '#actors/contract/live.ts';
import type { Principal, TenantRef } from '#actors/tenant/tenant.protocol.ts';
import { asRefusal } from '#runtime/database/connection-errors.ts';
import { GridError, isListed, statusOf } from '#runtime/errors.ts';
import { Refusal } from '#runtime/kernel/errors.ts';

/** What all doors share: who asks, is what they sent right, and how a failure is told. */

const ASK = { timeoutMs: 5_000 };

export async function authenticate(tenants: TenantRef, key: string | undefined): Promise<Principal> {
  if (key === undefined || key === '') {
    throw new GridError('UNAUTHENTICATED', 'no key came with the request', {
      fix: 'send `Authorization: Bearer cg_…`; the first start printed an admin key',
    });
  }
  const principal = await tenants.authenticate(key, ASK);
  if (principal === null)
    throw new GridError('UNAUTHENTICATED', 'the key is unknown or revoked', { fix: '`corpgrid keys create` makes a new one' });
  return principal;
}

export function bearerOf(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  return header?.startsWith('Bearer ') ? header.slice(7).trim() : undefined;
}

export function requireAdmin(principal: Principal): void {
  if (principal.role !== 'admin') throw new GridError('FORBIDDEN', 'this needs an admin key', { fix: 'ask an administrator of the grid' });
}

/** Admins see every tenant's jobs. */
export function tenantScope(principal: Principal): string | null {
  return principal.role === 'admin' ? null : principal.tenant;
}

/** Parses untrusted input; the error names the field and what was expected. */
export function parse<T extends z.ZodType>(schema: T, value: unknown, code: 'BAD_REQUEST' | 'BAD_SPEC' = 'BAD_REQUEST'): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = explainIssues(result.error);
  // Every field of a spec has its line there.
  throw new GridError(code, message, code === 'BAD_SPEC' ? { path, fix: 'docs/job-spec.md says what each field takes' } : { path });
}

/** The answer to a failure. What is not an expected one says nothing of the inside. */
export function problemOf(thrown: unknown, requestId?: string): ProblemJson {
  const error = asRefusal(thrown);
  const id = requestId === undefined ? {} : { requestId };
  if (!isListed(error)) {
    const refused = serverRefusal(error);
    if (refused !== null) return { code: refused.status === 413 ? 'TOO_LARGE' : 'BAD_REQUEST', message: refused.message, ...id };
    if (statusOf(error) === 503)
      return { code: 'UNREACHABLE', message: 'the grid could not answer this right now', fix: 'try again', ...id };
    return { code: 'INTERNAL', message: 'something went wrong inside the grid', ...id };
  }
  return {
    code: error.code,
    message: error.message,
    ...(error.path === undefined ? {} : { path: error.path }),
    ...(error.fix === undefined ? {} : { fix: error.fix }),
    ...id,
  };
}

export async function sendProblem(reply: FastifyReply, request: FastifyRequest, error: unknown): Promise<void> {
  await reply.code(httpStatusOf(error)).send(problemOf(error, request.id));
}

function httpStatusOf(error: unknown): number {
  return serverRefusal(error)?.status ?? statusOf(asRefusal(error));
}

/** Fastify's own refusals: malformed JSON, too large, wrong media type. Their messages speak of the request only. */
export function serverRefusal(error: unknown): { readonly status: number; readonly message: string } | null {
  if (!(error instanceof Error) || Refusal.is(error) || !('statusCode' in error)) return null;
  const { statusCode: status, message } = error;
  return typeof status === 'number' && status >= 400 && status < 500 ? { status, message } : null;
}
