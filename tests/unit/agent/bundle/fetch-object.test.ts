import { once } from 'node:events';
import { open, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import type { Body, SignedRequest } from '#actors/contract/primitives.ts';
import { appendObject, uploadFile } from '#agent/bundle/fetch-object.ts';
import { type Transfer, TransferError } from '#agent/bundle/transfer.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

const BYTES = Buffer.alloc(300_000, 'an object that takes more than one packet; ');
const BODY: Body = { sha256: sha256Hex(BYTES), size: BYTES.length, get: { method: 'GET', url: '/object', headers: {} } };
const PUT: SignedRequest = { method: 'PUT', url: '/object', headers: {} };
/** Minutes of patience pass in moments. */
const FASTER = 100;

/** A store that answers the n-th request as the n-th of these does, and the last of them from then on. */
async function storeThat(...answers: Answer[]): Promise<{ transfer: Transfer; abort: AbortController; ranges: (string | undefined)[] }> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    answers[Math.min(ranges.length, answers.length) - 1]?.(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const abort = new AbortController();
  let timers = 0;
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
    expect(timers).toBe(0);
  });
  const transfer: Transfer = {
    gridUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    signal: abort.signal,
    random: () => 0.5,
    after(ms, run) {
      timers += 1;
      let live = true;
      const over = (): void => {
        if (live) timers -= 1;
        live = false;
      };
      const timer = setTimeout(() => {
        over();
        run();
      }, ms / FASTER);
      return {
        cancel() {
          over();
          clearTimeout(timer);
        },
      };
    },
  };
  return { transfer, abort, ranges };
}

const whole: Answer = (request, response) => {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from === 0 ? 200 : 206).end(BYTES.subarray(from));
};
const silence: Answer = () => undefined;
/** Breaks the line when half of the object is out. */
const half: Answer = (_, response) => {
  response.writeHead(200, { 'content-length': BYTES.length });
  response.write(BYTES.subarray(0, BYTES.length / 2), () => setImmediate(() => response.destroy()));
};
/** Goes dead when half of the object is out. */
const halfThenSilence: Answer = (_, response) => {
  response.writeHead(200, { 'content-length': BYTES.length });
  response.write(BYTES.subarray(0, BYTES.length / 2));
};
const status =
  (code: number): Answer =>
  (request, response) => {
    request.resume();
    response.writeHead(code).end();
  };

async function fetchFrom(transfer: Transfer): Promise<Buffer> {
  const file = path.join(await temporaryFolder('fetch'), 'object');
  const handle = await open(file, 'wx');
  try {
    await appendObject(BODY, handle, transfer);
  } finally {
    await handle.close();
  }
  return readFile(file);
}

it.each([
  ['a line that is dead from the start', silence],
  ['a line that breaks in the middle', half],
  ['a line that goes dead in the middle', halfThenSilence],
  ['a server that starts', status(503)],
])('a download outlives %s', async (_, trouble) => {
  const { transfer, ranges } = await storeThat(trouble, trouble === silence ? silence : whole, whole);
  expect((await fetchFrom(transfer)).equals(BYTES)).toBe(true);
  const inTheMiddle = trouble === half || trouble === halfThenSilence;
  if (inTheMiddle) expect(ranges.at(-1), 'goes on where it broke').toMatch(/^bytes=[1-9]\d*-$/);
});

it('a download that is refused, or has other bytes, is not tried again', async () => {
  const refused = await storeThat(status(404));
  await expect(fetchFrom(refused.transfer)).rejects.toThrow(TransferError);
  const other = await storeThat((_, response) => response.end(BYTES.map((byte) => byte ^ 1)));
  await expect(fetchFrom(other.transfer)).rejects.toThrow(/other bytes/);
  expect([refused.ranges.length, other.ranges.length]).toEqual([1, 1]);
});

it('a line that stays dead ends the download after a bounded number of tries', async () => {
  const { transfer, ranges } = await storeThat(silence);
  await expect(fetchFrom(transfer)).rejects.toThrow(/nothing moved/);
  expect(ranges.length).toBe(8);
});

it('stopping it ends the wait at once', async () => {
  const { transfer, abort } = await storeThat(silence);
  const fetching = fetchFrom(transfer);
  abort.abort(new Error('superseded'));
  await expect(fetching).rejects.toThrow('superseded');
});

it('an upload outlives a line that is dead and one that breaks, and sends the whole output', async () => {
  const file = path.join(await temporaryFolder('upload'), 'output');
  await writeFile(file, BYTES);
  const received: Buffer[] = [];
  const { transfer, ranges } = await storeThat(
    silence,
    (request) => request.destroy(),
    async (request, response) => {
      for await (const chunk of request) received.push(chunk as Buffer);
      response.end();
    },
  );
  await uploadFile(file, PUT, transfer);
  expect(Buffer.concat(received).equals(BYTES)).toBe(true);
  expect(ranges.length).toBe(3);
});
