import { createHash, randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type MultipartUpload,
  type _Object,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

import type { Clock } from '#runtime/kernel/host.ts';

import { boundsOf, checkedName, checkExpectation, checkPromise, checkRef, checkTtl, tooLarge } from './expectation.ts';
import { isSha256, objectKey, type ObjectRef, type Objects, type SignedRequest } from './objects.ts';
import { statusOfS3, unreachable } from './s3-errors.ts';
import type { S3Settings } from './s3-settings.ts';

/**
 * Objects in a bucket of any S3.
 *
 *   sha256/<hex>        an object. Nothing but its own bytes is ever written there, so a second write does no harm
 *   uploads/<random>    a large object whose hash is not known before its last byte; copied to its name, then deleted
 *
 * A signed address for writing names the SHA-256 of the body in `x-amz-content-sha256` and its length, both as signed headers:
 * the server itself refuses other bytes. Checksum headers that a server may ignore are not relied upon.
 */

export interface S3ObjectsOptions {
  readonly settings: S3Settings;
  readonly clock: Clock;
  /** Bytes of the largest object: 4 GiB unless told otherwise. S3 takes at most 5 GiB in one signed PUT and in one copy. */
  readonly maxSize?: number;
  /** Bytes that are held in memory of an upload, and sent at once. S3 wants 5 MiB at least. */
  readonly partSize?: number;
}

export interface S3Objects extends Objects {
  close(): void;
}

const FOUR_GIB = 4 * 1024 ** 3;
const EIGHT_MIB = 8 * 1024 ** 2;

/** @throws GridError UNREACHABLE when the server, the key or the bucket are not what the settings say */
export async function openS3Objects({ settings, clock, maxSize = FOUR_GIB, partSize = EIGHT_MIB }: S3ObjectsOptions): Promise<S3Objects> {
  const { endpoint, bucket: Bucket, region, accessKeyId, secretAccessKey } = settings;
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    // Left alone, the driver signs the checksum of an empty body into addresses, and frames streams as older servers store them.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });

  /** What the server answers; its failures in our words. */
  async function ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unreachable(error, settings);
    }
  }

  /** Null when there is no such object. */
  async function askFor<T>(work: () => Promise<T>): Promise<T | null> {
    return ask(() => work().catch((error: unknown) => (statusOfS3(error) === 404 ? null : Promise.reject(error as Error))));
  }

  const keyOf = (sha256: string): string => objectKey(checkedName(sha256));

  async function sizeOf(sha256: string): Promise<number | null> {
    const Key = keyOf(sha256);
    const found = await askFor(() => client.send(new HeadObjectCommand({ Bucket, Key })));
    return found === null ? null : (found.ContentLength ?? 0);
  }

  async function open(sha256: string): Promise<{ size: number; stream: Readable } | null> {
    const Key = keyOf(sha256);
    const found = await askFor(() => client.send(new GetObjectCommand({ Bucket, Key })));
    return found === null ? null : { size: found.ContentLength ?? 0, stream: found.Body as Readable };
  }

  /** Sends parts under `Key`; the object appears there when `finish` says so. */
  async function multipart(Key: string) {
    const { UploadId } = await ask(() => client.send(new CreateMultipartUploadCommand({ Bucket, Key })));
    const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
    return {
      async part(Body: Uint8Array): Promise<void> {
        const PartNumber = Parts.length + 1;
        const { ETag } = await ask(() => client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body })));
        Parts.push({ PartNumber, ETag });
      },
      finish: () => ask(() => client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))),
      abort: () => ask(() => client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))),
    };
  }

  /** Moves what was uploaded under a random name to the one of its hash. */
  async function rename(from: string, to: string): Promise<void> {
    try {
      await ask(() => client.send(new CopyObjectCommand({ Bucket, Key: to, CopySource: `${Bucket}/${from}` })));
    } finally {
      await ask(() => client.send(new DeleteObjectCommand({ Bucket, Key: from })));
    }
  }

  async function put(source: AsyncIterable<Uint8Array> | Uint8Array, expected: Partial<ObjectRef> = {}): Promise<ObjectRef> {
    checkExpectation(expected, maxSize);
    const limit = Math.min(expected.size ?? maxSize, maxSize);
    const temporary = `uploads/${randomUUID()}`;
    const Key = expected.sha256 === undefined ? temporary : keyOf(expected.sha256);
    const hash = createHash('sha256');
    let size = 0;
    let held: Uint8Array[] = [];
    let heldSize = 0;
    let upload: Awaited<ReturnType<typeof multipart>> | null = null;
    try {
      for await (const chunk of source instanceof Uint8Array ? piecesOf(source, partSize) : source) {
        size += chunk.length;
        if (size > limit) throw tooLarge(limit);
        hash.update(chunk);
        // A source may use its buffer again.
        held.push(Uint8Array.from(chunk));
        heldSize += chunk.length;
        if (heldSize < partSize) continue;
        upload ??= await multipart(Key);
        await upload.part(Buffer.concat(held));
        held = [];
        heldSize = 0;
      }
      const ref = { sha256: hash.digest('hex'), size };
      checkPromise(ref, expected);
      if (upload === null) {
        const Body = Buffer.concat(held);
        await ask(() => client.send(new PutObjectCommand({ Bucket, Key: keyOf(ref.sha256), Body })));
        return ref;
      }
      if (heldSize > 0) await upload.part(Buffer.concat(held));
      await upload.finish();
      upload = null;
      if (Key === temporary) await rename(temporary, keyOf(ref.sha256));
      return ref;
    } catch (error) {
      // What cannot be taken back now goes with `endUploads`; the first failure is the one to tell.
      await upload?.abort().catch(() => undefined);
      throw error;
    }
  }

  async function presign(command: GetObjectCommand | PutObjectCommand, ttlSeconds: number, signed: readonly string[]): Promise<string> {
    return getSignedUrl(client, command, {
      expiresIn: ttlSeconds,
      signingDate: new Date(clock.wall()),
      unhoistableHeaders: new Set(signed),
      signableHeaders: new Set(['host', ...signed]),
    });
  }

  async function* stored(Prefix: string): AsyncGenerator<_Object> {
    let ContinuationToken: string | undefined;
    do {
      const page = await ask(() => client.send(new ListObjectsV2Command({ Bucket, Prefix, ContinuationToken })));
      yield* page.Contents ?? [];
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
  }

  async function* begun(): AsyncGenerator<MultipartUpload> {
    let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | null = {};
    while (from !== null) {
      const page: ListMultipartUploadsCommandOutput = await ask(() => client.send(new ListMultipartUploadsCommand({ Bucket, ...from })));
      yield* page.Uploads ?? [];
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : null;
    }
  }

  await ask(() => client.send(new HeadBucketCommand({ Bucket })));

  return {
    put,

    async open(sha256, range) {
      if (range === undefined) return open(sha256);
      const size = await sizeOf(sha256);
      if (size === null) return null;
      const { start, end } = boundsOf(range, size);
      const found = await askFor(() => client.send(new GetObjectCommand({ Bucket, Key: keyOf(sha256), Range: `bytes=${start}-${end}` })));
      return found === null ? null : { size, stream: found.Body as Readable };
    },

    async head(sha256) {
      const size = await sizeOf(sha256);
      return size === null ? null : { sha256, size };
    },

    async verify(sha256) {
      const opened = await open(sha256);
      if (opened === null) return false;
      const hash = createHash('sha256');
      for await (const chunk of opened.stream) hash.update(chunk as Uint8Array);
      return hash.digest('hex') === sha256;
    },

    async delete(sha256) {
      if ((await sizeOf(sha256)) === null) return false;
      await ask(() => client.send(new DeleteObjectCommand({ Bucket, Key: keyOf(sha256) })));
      return true;
    },

    async *list() {
      for await (const { Key = '', Size = 0 } of stored('sha256/')) {
        const sha256 = Key.slice('sha256/'.length);
        if (isSha256(sha256)) yield { sha256, size: Size };
      }
    },

    async endUploads(before) {
      let ended = 0;
      for await (const { Key, LastModified } of stored('uploads/')) {
        if (LastModified === undefined || LastModified.getTime() >= before) continue;
        await ask(() => client.send(new DeleteObjectCommand({ Bucket, Key })));
        ended += 1;
      }
      for await (const { Key, UploadId, Initiated } of begun()) {
        if (Initiated === undefined || Initiated.getTime() >= before) continue;
        // Null: it came to an end after all.
        if ((await askFor(() => client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })))) !== null) ended += 1;
      }
      return ended;
    },

    async presignPut(ref, ttlSeconds): Promise<SignedRequest> {
      checkRef(ref);
      checkTtl(ttlSeconds);
      const command = new PutObjectCommand({ Bucket, Key: keyOf(ref.sha256), ContentLength: ref.size });
      const headers = { 'x-amz-content-sha256': ref.sha256 };
      command.middlewareStack.add(
        (next) => (args) => {
          Object.assign((args.request as { headers: Record<string, string> }).headers, headers);
          return next(args);
        },
        { step: 'build', name: 'bindContent' },
      );
      // Whoever sends the body also says its length, without being told.
      return { method: 'PUT', url: await presign(command, ttlSeconds, ['x-amz-content-sha256', 'content-length']), headers };
    },

    async presignGet(ref, ttlSeconds): Promise<SignedRequest> {
      checkRef(ref);
      checkTtl(ttlSeconds);
      return { method: 'GET', url: await presign(new GetObjectCommand({ Bucket, Key: keyOf(ref.sha256) }), ttlSeconds, []), headers: {} };
    },

    close: () => client.destroy(),
  };
}

function* piecesOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
