import type { Readable } from 'node:stream';

/**
 * The object store: bytes under the name of their SHA-256. What is stored never changes, so a second put of the same bytes is a
 * success, and whoever reads can check what they got. Large things travel past the coordinator's messages: it hands out signed
 * requests, which anybody can carry out without a key, but only as they were signed.
 */
export interface Objects {
  /**
   * Stores bytes and answers their name and size, durable when the promise resolves; nothing is kept when it rejects.
   *
   * @throws GridError TOO_LARGE when there are more bytes than `expected.size` or than the store takes; HASH_MISMATCH when they
   *   are fewer, or others, than expected; BAD_REQUEST when the expectation has a wrong form.
   */
  put(source: AsyncIterable<Uint8Array> | Uint8Array, expected?: Partial<ObjectRef>): Promise<ObjectRef>;
  /**
   * The object's full size and its bytes, or those of the range. Null when it is not here. Read the stream or destroy it: it
   * holds an open file.
   *
   * @throws GridError BAD_REQUEST when the range begins behind the last byte or is none
   */
  open(sha256: string, range?: ByteRange): Promise<{ readonly size: number; readonly stream: Readable } | null>;
  /** Null when it is not here. */
  head(sha256: string): Promise<ObjectRef | null>;
  /** Reads it again: true when it is here and its bytes still have this SHA-256. */
  verify(sha256: string): Promise<boolean>;
  /** False when it was not here. */
  delete(sha256: string): Promise<boolean>;
  /** Every object that is here, in no order. One that comes or goes meanwhile may be missed. */
  list(): AsyncIterable<ObjectRef>;
  /** Forgets uploads of which nothing was heard since this time (wall clock, ms), and their bytes. Answers how many there were. */
  endUploads(before: number): Promise<number>;
  /** A request that stores exactly this object, and nothing else. */
  presignPut(ref: ObjectRef, ttlSeconds: number): Promise<SignedRequest>;
  /** A request that reads exactly this object, whole or in ranges. */
  presignGet(ref: ObjectRef, ttlSeconds: number): Promise<SignedRequest>;
}

export interface ObjectRef {
  /** 64 lower-case hex digits. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

export interface ByteRange {
  readonly first: number;
  /** Included. The end of the object when it is missing or lies behind it. */
  readonly last?: number;
}

/** All that is needed to send the request. */
export interface SignedRequest {
  readonly method: 'GET' | 'PUT';
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** The key of an object in any store. */
export function objectKey(sha256: string): string {
  return `sha256/${sha256}`;
}

export function isSha256(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}
