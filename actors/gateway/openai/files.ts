import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';

import type { FileRow } from '#actors/store/store.ts';
import { keepBytes } from '#actors/want-object.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse } from '../door.ts';
import type { OpenAiContext } from './endpoint.ts';
import { readMultipart } from './multipart.ts';

/** `/v1/files`: what batches read and write. Bytes are objects; a file is a name for one. */

/** OpenAI's own limit for batch input is 200 MB; this is what one request may bring here. */
export const FILE_LIMIT = 200 * 1024 * 1024;
const PURPOSES = ['batch', 'user_data'] as const;
const Params = z.object({ id: z.string().regex(/^file-[\w-]{1,100}$/) });

export interface FileObject {
  readonly id: string;
  readonly object: 'file';
  readonly bytes: number;
  readonly created_at: number;
  readonly filename: string;
  readonly purpose: string;
  readonly status: 'processed';
}

function fileObject({ id, size, createdAt, filename, purpose }: FileRow): FileObject {
  return { id, object: 'file', bytes: size, created_at: Math.floor(createdAt / 1_000), filename, purpose, status: 'processed' };
}

/** Keeps bytes as a file of a tenant. */
export async function saveFile(
  { args }: OpenAiContext,
  { tenant, purpose, filename, bytes }: { tenant: string; purpose: string; filename: string; bytes: Uint8Array },
): Promise<FileRow> {
  const createdAt = args.host.clock.wall();
  const { sha256, size } = await keepBytes(args.services, bytes, createdAt);
  const file = { id: `file-${args.randomId()}`, tenant, purpose, filename, sha256, size, createdAt };
  await args.services.store.saveFile(file);
  return file;
}

/** @throws GridError NOT_FOUND, also for a file of another tenant */
export async function findFile({ args }: OpenAiContext, id: string, tenant: string): Promise<FileRow> {
  const file = await args.services.store.findFile(id);
  if (file === null || file.tenant !== tenant) throw new GridError('NOT_FOUND', `No such File object: ${id}`, { path: 'id' });
  return file;
}

/** @throws GridError OBJECT_MISSING */
export async function readFileBytes({ args }: OpenAiContext, { id, sha256 }: FileRow): Promise<Buffer> {
  const opened = await args.services.objects.open(sha256);
  if (opened === null) throw new GridError('OBJECT_MISSING', `The bytes of ${id} are gone.`);
  const parts: Buffer[] = [];
  for await (const part of opened.stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export function fileRoutes(app: FastifyInstance, context: OpenAiContext): void {
  const { tenants, services } = context.args;
  const tenantOf = async (request: FastifyRequest): Promise<string> => (await authenticate(tenants, bearerOf(request))).tenant;

  void app.register(async (scope) => {
    scope.addContentTypeParser('multipart/form-data', { parseAs: 'buffer', bodyLimit: FILE_LIMIT }, (_request, body, done) =>
      done(null, body),
    );

    scope.post('/v1/files', { bodyLimit: FILE_LIMIT }, async (request) => {
      const tenant = await tenantOf(request);
      const parts = Buffer.isBuffer(request.body) ? readMultipart(request.body, request.headers['content-type'] ?? '') : null;
      const file = parts?.find(({ name }) => name === 'file');
      if (parts === null || file === undefined) throw new GridError('BAD_REQUEST', "Missing required parameter: 'file'.", { path: 'file' });
      const stray = parts.find(({ name }) => name !== 'file' && name !== 'purpose');
      if (stray !== undefined) throw new GridError('BAD_REQUEST', `Unknown parameter: '${stray.name}'.`, { path: stray.name });
      const purpose = parts.find(({ name }) => name === 'purpose')?.bytes.toString('utf8') ?? '';
      if (!PURPOSES.some((known) => known === purpose))
        throw new GridError('BAD_REQUEST', `Invalid value for 'purpose': supported: ${PURPOSES.join(', ')}.`, { path: 'purpose' });
      return fileObject(await saveFile(context, { tenant, purpose, filename: file.filename ?? 'file', bytes: file.bytes }));
    });

    scope.get('/v1/files', async (request) => {
      const files = await services.store.listFiles(await tenantOf(request));
      return {
        object: 'list',
        data: files.map(fileObject),
        has_more: false,
        first_id: files[0]?.id ?? null,
        last_id: files.at(-1)?.id ?? null,
      };
    });

    scope.get('/v1/files/:id', async (request) => {
      const tenant = await tenantOf(request);
      return fileObject(await findFile(context, parse(Params, request.params).id, tenant));
    });

    scope.get('/v1/files/:id/content', async (request, reply) => {
      const tenant = await tenantOf(request);
      const file = await findFile(context, parse(Params, request.params).id, tenant);
      return reply.type('application/octet-stream').send(await readFileBytes(context, file));
    });

    scope.delete('/v1/files/:id', async (request) => {
      const tenant = await tenantOf(request);
      const { id } = await findFile(context, parse(Params, request.params).id, tenant);
      // The bytes stay: other files, and jobs, may name the same object.
      return { id, object: 'file', deleted: await services.store.deleteFile(id) };
    });
  });
}
