import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';

import { GridError, statusOf } from '#runtime/errors.ts';
import { Refusal } from '#runtime/kernel/errors.ts';

import { parseRange } from './byte-range.ts';
import type { ObjectRef, Objects } from './objects.ts';
import type { UrlSigner } from './signed-url.ts';

/**
 * Signed addresses over HTTP.
 *
 *   PUT   200 {sha256, size, existed}; the body must be the object that the address names, `existed` tells that it was here
 *   GET   200, or 206 for a range; 404 when it is not here
 *   HEAD  as GET without the bytes, with a GET address
 *
 * Everything else is problem JSON {code, message, path?, fix?} with the status of the table in runtime/errors.ts. The one
 * exception is 416 for a range behind the end: clients that continue a download know it by its number.
 */

export interface ObjectHandlerOptions {
  readonly objects: Objects;
  readonly store: (source: AsyncIterable<Uint8Array>, expected: ObjectRef) => Promise<{ ref: ObjectRef; existed: boolean }>;
  readonly signer: UrlSigner;
  readonly onDefect: (error: unknown) => void;
}

/** After an early refusal so much of the body is still read and thrown away: a client that writes does not read the answer yet. */
const DRAIN_BYTES = 4 * 1024 * 1024;

const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' };

export function createObjectHandler({ objects, store, signer, onDefect }: ObjectHandlerOptions) {
  async function put(request: IncomingMessage, response: ServerResponse, ref: ObjectRef): Promise<void> {
    const announced = request.headers['content-length'];
    if (announced !== undefined && Number(announced) > ref.size) {
      throw new GridError('TOO_LARGE', `${announced} bytes announced, but this address is for an object of ${ref.size}`, {
        path: 'content-length',
      });
    }
    if (announced !== undefined && Number(announced) < ref.size) {
      throw new GridError('HASH_MISMATCH', `${announced} bytes announced, but this address is for an object of ${ref.size}`, {
        path: 'content-length',
      });
    }
    // Leaving the loop early must not destroy the request: the answer goes out over the same socket.
    const { ref: stored, existed } = await store(request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>, ref);
    response.writeHead(200, JSON_HEADERS).end(JSON.stringify({ ...stored, existed }));
  }

  async function get(request: IncomingMessage, response: ServerResponse, { sha256 }: ObjectRef): Promise<void> {
    const found = await objects.head(sha256);
    if (found === null) throw missing(sha256);
    const range = parseRange(request.headers.range, found.size);
    response.setHeader('accept-ranges', 'bytes');
    if (range === 'unsatisfiable') {
      response.setHeader('content-range', `bytes */${found.size}`);
      throw new RangeNotSatisfiable('BAD_REQUEST', `the object has ${found.size} bytes and none in that range`, { path: 'range' });
    }
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': range === null ? found.size : range.last - range.first + 1,
      'cache-control': 'private, max-age=31536000, immutable',
      // People upload what they like: no browser shall take it for a page of this site.
      'x-content-type-options': 'nosniff',
      etag: `"${sha256}"`,
      ...(range === null ? {} : { 'content-range': `bytes ${range.first}-${range.last}/${found.size}` }),
    };
    const status = range === null ? 200 : 206;
    if (request.method === 'HEAD') {
      response.writeHead(status, headers).end();
      return;
    }
    const opened = await objects.open(sha256, range ?? undefined);
    if (opened === null) throw missing(sha256);
    response.writeHead(status, headers);
    await pipeline(opened.stream, response);
  }

  async function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): Promise<void> {
    const gone = request.socket.destroyed || response.destroyed;
    // A client that went away is nobody's defect and needs no answer; a disk that failed meanwhile is one all the same.
    if (!Refusal.is(error) && !(gone && isDisconnect(error))) onDefect(error);
    if (gone) return;
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { code, message, path, fix } = Refusal.is(error) ? error : new GridError('INTERNAL', 'the object store failed; its log says why');
    const status = error instanceof RangeNotSatisfiable ? 416 : statusOf(error);
    const body = JSON.stringify({ code, message, ...(path === undefined ? {} : { path }), ...(fix === undefined ? {} : { fix }) });
    const bodyComes =
      !request.complete && (request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0);
    if (bodyComes) response.setHeader('connection', 'close');
    response.writeHead(status, { ...JSON_HEADERS, 'content-length': Buffer.byteLength(body) }).write(body);
    // Ending the answer closes the socket, and closing it while bytes arrive would destroy the answer on its way.
    if (bodyComes) await drained(request);
    response.end();
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const method = request.method ?? '';
      const ref = signer.check(method, request.url ?? '');
      await (method === 'PUT' ? put(request, response, ref) : get(request, response, ref));
    } catch (error) {
      await refuse(request, response, error);
    }
  };
}

class RangeNotSatisfiable extends GridError {}

function isDisconnect(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  );
}

function missing(sha256: string): GridError {
  return new GridError('NOT_FOUND', `no object ${sha256} here`);
}

/** Reads and forgets: until the body ends, the client is gone, or enough came. */
function drained(request: IncomingMessage): Promise<void> {
  return new Promise((done) => {
    let left = DRAIN_BYTES;
    for (const event of ['end', 'error', 'close']) request.once(event, () => done());
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) done();
    });
  });
}
