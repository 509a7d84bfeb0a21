import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { onTestFinished } from 'vitest';

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly key: string | undefined;
  readonly body: unknown;
}

export type Reply = (response: ServerResponse, call: Call) => void;

/** An HTTP server on loopback whose answers a test writes by hand. Calls for which there is no reply are answered 404. */
export async function scriptedHttp(replies: Readonly<Record<string, Reply>>): Promise<{ url: string; calls: Call[] }> {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    void read(request).then((body) => {
      const call = { method: request.method ?? '', path: request.url ?? '', key: request.headers.authorization, body };
      calls.push(call);
      const reply = replies[call.path];
      if (reply === undefined) response.writeHead(404).end('{"error":{"message":"no such path"}}');
      else reply(response, call);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://127.0.0.1:${address.port}`, calls };
}

async function read(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? undefined : JSON.parse(text);
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Reply {
  return (response) => response.writeHead(status, headers).end(JSON.stringify(value));
}

/** Server-sent events; the stream ends behind the last one, unless it is `cut`: then the connection does. */
export function events(data: readonly unknown[], how: 'ends' | 'cut' = 'ends'): Reply {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const one of data) response.write(`data: ${typeof one === 'string' ? one : JSON.stringify(one)}\n\n`);
    if (how === 'ends') response.end();
    // Behind a turn of the loop, so that what was written is on its way.
    else setImmediate(() => response.destroy());
  };
}
