import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { JobSpec, type Submission } from '#actors/contract/job-spec.ts';
import type { ProblemJson } from '#actors/contract/live.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { GridClient } from '#bin/client/grid-client.ts';
import type { Grid } from '#tests/support/grid.ts';

/** Who comes to a grid's doors, and with what. */

export const EXAMPLES = path.join(import.meta.dirname, '..', '..', '..', 'examples');
const MODULE = path.join(EXAMPLES, 'word-count', 'word-count.wasm');

export interface Answered {
  readonly status: number;
  readonly body: Partial<ProblemJson> & Record<string, unknown>;
}

export interface Request {
  readonly key?: string;
  readonly body?: unknown;
  /** The body as it goes over the wire, instead of `body` as JSON. */
  readonly raw?: string;
  readonly headers?: Record<string, string>;
}

/** One HTTP request, well formed or not, and the JSON that came back. */
export async function call(url: string, method: string, at: string, { key, body, raw, headers = {} }: Request = {}): Promise<Answered> {
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(new URL(at, url), {
    method,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(content === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(content === undefined ? {} : { body: content }),
  });
  return { status: response.status, body: (await response.json()) as Answered['body'] };
}

export interface Visitor {
  readonly id: string;
  readonly key: string;
}

/** A key of a tenant's own, as an administrator makes it. */
export async function newKey({ client }: Grid, tenant: string, role: 'admin' | 'submitter' = 'submitter'): Promise<Visitor> {
  return (await client.post('/api/keys', { name: `${role} of ${tenant}`, tenant, role })) as Visitor;
}

export async function newToken({ client }: Grid, uses = 1): Promise<string> {
  return ((await client.post('/api/tokens', { name: 'a test machine', uses })) as { token: string }).token;
}

export async function upload(client: GridClient, bytes: Uint8Array): Promise<ObjectRef> {
  const ref = { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
  await client.upload(ref, { bytes });
  return ref;
}

/** Counts words, one shard for each text; its objects are in the store when this resolves. */
export async function wordCount(client: GridClient, texts: readonly string[], quorum: number): Promise<Submission> {
  const module = await upload(client, await readFile(MODULE));
  const inputs: ObjectRef[] = [];
  for (const text of texts) inputs.push(await upload(client, new TextEncoder().encode(text)));
  return {
    id: randomUUID(),
    spec: JobSpec.parse({ version: 1, name: 'words', kind: 'wasm', module, args: ['count'], shards: { inputs }, quorum }),
  };
}
