import { createHash, randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { GridError } from '#runtime/errors.ts';
import type { ObjectRef, Objects, SignedRequest } from '#runtime/objects/objects.ts';

export interface ObjectsUnderTest {
  readonly objects: Objects;
  /** What comes to be so long ago, by the calendar of the store's server, as an address may live. */
  longAgo<T>(sign: () => Promise<T>): Promise<T>;
  /** HTTP statuses that tell of other bytes, and of more bytes, than an address was signed for. */
  readonly otherBytes: number;
  readonly moreBytes: number;
  /** Closes the store and fails when it left anything behind that is no object. */
  dispose(): Promise<void>;
}

export function refOf(bytes: Uint8Array): ObjectRef {
  return { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
}

export function send(request: SignedRequest, body?: Uint8Array, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(request.url, {
    method: request.method,
    headers: { ...request.headers, ...headers },
    ...(body === undefined ? {} : { body }),
  });
}

export async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(stream: Readable): Promise<Buffer> {
  return Buffer.concat(await stream.toArray());
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GridError);
  return (error as GridError).code;
}

/** What every object store promises, over its methods and over its signed addresses. */
export function objectsContract(name: string, make: () => Promise<ObjectsUnderTest>): void {
  describe(`objects: ${name}`, () => {
    let test: ObjectsUnderTest;
    let objects: Objects;
    const body = randomBytes(300_000);
    const ref = refOf(body);
    const absent = refOf(Buffer.from('never stored'));

    beforeEach(async () => {
      test = await make();
      objects = test.objects;
    });

    afterEach(() => test.dispose());

    describe('methods', () => {
      it('store and give back, whole and from a stream', async () => {
        expect(await objects.put(body)).toEqual(ref);
        expect(await objects.head(ref.sha256)).toEqual(ref);
        const opened = await objects.open(ref.sha256);
        expect(opened?.size).toBe(ref.size);
        if (opened) expect((await all(opened.stream)).equals(body)).toBe(true);
        const other = randomBytes(200_001);
        expect(await objects.put(chunksOf(other, 70_000), refOf(other))).toEqual(refOf(other));
        expect(await objects.verify(refOf(other).sha256)).toBe(true);
      });

      it('store nothing at all, which is an object too', async () => {
        const empty = refOf(new Uint8Array(0));
        expect(await objects.put(new Uint8Array(0), empty)).toEqual(empty);
        const opened = await objects.open(empty.sha256);
        if (opened) expect(await all(opened.stream)).toHaveLength(0);
        expect(opened?.size).toBe(0);
      });

      it('know what is not here', async () => {
        expect(await objects.head(absent.sha256)).toBeNull();
        expect(await objects.open(absent.sha256)).toBeNull();
        expect(await objects.verify(absent.sha256)).toBe(false);
        expect(await objects.delete(absent.sha256)).toBe(false);
      });

      it('take the same object twice', async () => {
        await objects.put(body);
        expect(await objects.put(chunksOf(body, 65_536), ref)).toEqual(ref);
      });

      it('delete', async () => {
        await objects.put(body);
        expect(await objects.delete(ref.sha256)).toBe(true);
        expect(await objects.head(ref.sha256)).toBeNull();
        expect(await objects.put(body)).toEqual(ref);
      });

      it('list what is here, and let old uploads go, of which there are none', async () => {
        const other = randomBytes(70_000);
        await objects.put(body);
        await objects.put(other);
        const listed: ObjectRef[] = [];
        for await (const object of objects.list()) listed.push(object);
        const byName = (a: ObjectRef, b: ObjectRef): number => (a.sha256 < b.sha256 ? -1 : 1);
        expect(listed.sort(byName)).toEqual([ref, refOf(other)].sort(byName));
        expect(await objects.endUploads(Date.now() + 3_600_000)).toBe(0);
        expect(await objects.verify(ref.sha256)).toBe(true);
      });

      it('give ranges', async () => {
        await objects.put(body);
        for (const [range, expected] of [
          [{ first: 5, last: 9 }, body.subarray(5, 10)],
          [{ first: 299_990 }, body.subarray(299_990)],
          [{ first: 0, last: 0 }, body.subarray(0, 1)],
          [{ first: 299_999, last: 10 ** 9 }, body.subarray(299_999)],
        ] as const) {
          const opened = await objects.open(ref.sha256, range);
          expect(opened?.size).toBe(ref.size);
          if (opened) expect((await all(opened.stream)).equals(expected)).toBe(true);
        }
        for (const range of [{ first: 300_000 }, { first: -1 }, { first: 0.5 }, { first: 9, last: 5 }, { first: Number.NaN }]) {
          expect(await codeOf(objects.open(ref.sha256, range))).toBe('BAD_REQUEST');
        }
      });

      it('refuse other bytes, more bytes and fewer bytes than expected, and keep none of them', async () => {
        const other = randomBytes(1_000);
        expect(await codeOf(objects.put(other, { sha256: ref.sha256 }))).toBe('HASH_MISMATCH');
        expect(await codeOf(objects.put(chunksOf(other, 100), { size: 999 }))).toBe('TOO_LARGE');
        expect(await codeOf(objects.put(chunksOf(other, 100), { size: 1_001 }))).toBe('HASH_MISMATCH');
        expect(await codeOf(objects.put(other, { ...refOf(other), size: 1_001 }))).toBe('HASH_MISMATCH');
        expect(await objects.head(refOf(other).sha256)).toBeNull();
        expect(await objects.head(ref.sha256)).toBeNull();
      });

      it('refuse what is no SHA-256 or no size', async () => {
        for (const sha256 of ['', '../../etc/passwd', ref.sha256.toUpperCase(), `${ref.sha256}0`, `${ref.sha256.slice(2)}/.`]) {
          for (const call of [
            objects.open(sha256),
            objects.head(sha256),
            objects.verify(sha256),
            objects.delete(sha256),
            objects.put(body, { sha256 }),
          ]) {
            expect(await codeOf(call)).toBe('BAD_REQUEST');
          }
          await expect(objects.presignGet({ sha256, size: 1 }, 60)).rejects.toThrow(GridError);
        }
        for (const size of [-1, 0.5, Number.NaN]) {
          expect(await codeOf(objects.put(body, { size }))).toBe('BAD_REQUEST');
          await expect(objects.presignPut({ ...ref, size }, 60)).rejects.toThrow(GridError);
        }
        for (const ttl of [0, -1, 1.5, Number.NaN, 8 * 24 * 3600]) await expect(objects.presignPut(ref, ttl)).rejects.toThrow(GridError);
      });

      it('keep nothing of a source that fails', async () => {
        async function* failing(): AsyncGenerator<Uint8Array> {
          yield body.subarray(0, 1000);
          throw new Error('the source broke');
        }
        await expect(objects.put(failing(), ref)).rejects.toThrow('the source broke');
        expect(await objects.head(ref.sha256)).toBeNull();
      });

      it('agree when eight put the same object at once', async () => {
        const results = await Promise.all(Array.from({ length: 8 }, (_, i) => objects.put(chunksOf(body, 10_000 + i), ref)));
        for (const result of results) expect(result).toEqual(ref);
        expect(await objects.verify(ref.sha256)).toBe(true);
      });
    });

    describe('signed addresses', () => {
      it('store once, read whole, in part and not at all', async () => {
        const stored = await send(await objects.presignPut(ref, 60), body);
        expect(stored.status).toBe(200);
        await stored.body?.cancel();
        expect(await objects.head(ref.sha256)).toEqual(ref);
        const get = await objects.presignGet(ref, 60);
        const whole = await send(get);
        expect(whole.status).toBe(200);
        expect(whole.headers.get('content-length')).toBe('300000');
        expect(Buffer.from(await whole.arrayBuffer()).equals(body)).toBe(true);
        const part = await send(get, undefined, { range: 'bytes=5-9' });
        expect(part.status).toBe(206);
        expect(part.headers.get('content-range')).toBe('bytes 5-9/300000');
        expect(Buffer.from(await part.arrayBuffer()).equals(body.subarray(5, 10))).toBe(true);
        const tail = await send(get, undefined, { range: 'bytes=-3' });
        expect(Buffer.from(await tail.arrayBuffer()).equals(body.subarray(-3))).toBe(true);
        const behind = await send(get, undefined, { range: 'bytes=300000-' });
        expect(behind.status).toBe(416);
        // Not every server says how long the object is.
        expect([null, 'bytes */300000']).toContain(behind.headers.get('content-range'));
        await behind.body?.cancel();
      });

      it('take the same object again', async () => {
        const put = await objects.presignPut(ref, 60);
        for (let i = 0; i < 2; i++) {
          const response = await send(put, body);
          expect(response.status).toBe(200);
          await response.body?.cancel();
        }
      });

      it('refuse other bytes', async () => {
        const evil = Buffer.from(body);
        evil[7] = (evil[7] ?? 0) ^ 1;
        const response = await send(await objects.presignPut(ref, 60), evil);
        expect(response.status).toBe(test.otherBytes);
        await response.body?.cancel();
        expect(await objects.head(ref.sha256)).toBeNull();
      });

      it('refuse more bytes than they were signed for', async () => {
        const response = await send(await objects.presignPut(ref, 60), Buffer.concat([body, Buffer.from('x')]));
        expect(response.status).toBe(test.moreBytes);
        await response.body?.cancel();
        expect(await objects.head(ref.sha256)).toBeNull();
      });

      it('expire', async () => {
        await objects.put(body);
        const [get, put] = await test.longAgo(() => Promise.all([objects.presignGet(ref, 60), objects.presignPut(ref, 60)]));
        for (const response of [await send(get), await send(put, body)]) {
          expect(response.status).toBe(403);
          await response.body?.cancel();
        }
      });

      it('permit one method and one object only', async () => {
        await objects.put(body);
        const get = await objects.presignGet(ref, 60);
        const put = await objects.presignPut(absent, 60);
        const attacks: SignedRequest[] = [
          { ...get, method: 'PUT' },
          { ...put, method: 'GET' },
          { ...get, url: get.url.replace(ref.sha256, absent.sha256) },
          { ...put, url: put.url.replace(absent.sha256, ref.sha256) },
        ];
        for (const attack of attacks) {
          const response = await send(attack, attack.method === 'PUT' ? Buffer.from('never stored') : undefined);
          expect(response.status).toBe(403);
          await response.body?.cancel();
        }
        expect(await objects.head(absent.sha256)).toBeNull();
        expect(await objects.verify(ref.sha256)).toBe(true);
      });

      it('say that an object is not here', async () => {
        const response = await send(await objects.presignGet(absent, 60));
        expect(response.status).toBe(404);
        await response.body?.cancel();
      });
    });
  });
}
