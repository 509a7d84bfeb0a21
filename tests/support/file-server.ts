import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server of one file that can be made to misbehave, and counts what it sent. */
export interface FileServer {
  readonly url: string;
  readonly sent: number;
  readonly requests: readonly { path: string; range: string | undefined }[];
  file: Uint8Array;
  /** Breaks the connection after so many bytes of each answer; undefined: never. */
  cutAfter: number | undefined;
  /** Changes bytes on their way. */
  spoil: ((bytes: Uint8Array, at: number) => Uint8Array) | undefined;
  /** Answers instead of the file. */
  status: number | undefined;
  headers: Record<string, string>;
  close(): Promise<void>;
}

/** `/x.gguf` answers the file, `/linked/x.gguf` redirects there as a model hub does, naming the file's SHA-256. */
export async function serveFile(file: Uint8Array): Promise<FileServer> {
  const state = { file, cutAfter: undefined, spoil: undefined, status: undefined, headers: {}, sent: 0 } as {
    -readonly [Key in keyof FileServer]: FileServer[Key];
  };
  const requests: { path: string; range: string | undefined }[] = [];
  const server = createServer((request, response) => {
    const { range } = request.headers;
    const at = request.url ?? '/';
    requests.push({ path: at, range });
    const sha256 = createHash('sha256').update(state.file).digest('hex');
    if (state.status !== undefined) {
      response.writeHead(state.status).end();
      return;
    }
    if (at.includes('/resolve/') || at.startsWith('/linked/')) {
      response.writeHead(302, { location: `/cdn/${sha256.slice(0, 8)}.gguf`, 'x-linked-etag': `"${sha256}"` }).end();
      return;
    }
    const from = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
    const last = Number(/^bytes=\d+-(\d+)$/.exec(range ?? '')?.[1] ?? state.file.length - 1);
    const body = state.spoil?.(state.file.slice(from, last + 1), from) ?? state.file.subarray(from, last + 1);
    response.writeHead(range === undefined ? 200 : 206, {
      etag: `"${sha256.slice(0, 16)}"`,
      'content-length': body.length,
      ...(range === undefined ? {} : { 'content-range': `bytes ${from}-${last}/${state.file.length}` }),
      ...state.headers,
    });
    const cut = state.cutAfter;
    if (cut === undefined || body.length <= cut) {
      state.sent += body.length;
      response.end(body);
      return;
    }
    state.sent += cut;
    response.write(body.subarray(0, cut), () => setImmediate(() => response.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}`,
    requests,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
