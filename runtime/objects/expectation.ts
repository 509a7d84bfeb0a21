import { GridError } from '#runtime/errors.ts';

import { type ByteRange, isSha256, type ObjectRef } from './objects.ts';

/** What every object store refuses in the same words, whatever it is made of. */

/** A week, the bound of S3's presigned addresses. */
const MAX_TTL_SECONDS = 7 * 24 * 3600;

/** Nothing but 64 hex digits ever becomes part of a path or a key. */
export function checkedName(sha256: string): string {
  if (!isSha256(sha256)) throw new GridError('BAD_REQUEST', 'expected 64 lower-case hex digits of a SHA-256', { path: 'sha256' });
  return sha256;
}

export function checkRef({ sha256, size }: ObjectRef): void {
  checkedName(sha256);
  if (!Number.isSafeInteger(size) || size < 0) throw new GridError('BAD_REQUEST', 'expected a size in bytes', { path: 'size' });
}

export function checkTtl(ttlSeconds: number): void {
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    throw new GridError('BAD_REQUEST', `an address can live 1 to ${MAX_TTL_SECONDS} whole seconds, not ${ttlSeconds}`, {
      path: 'ttlSeconds',
    });
  }
}

export function checkExpectation({ sha256, size }: Partial<ObjectRef>, maxSize: number): void {
  if (sha256 !== undefined) checkedName(sha256);
  if (size === undefined) return;
  if (!Number.isSafeInteger(size) || size < 0) throw new GridError('BAD_REQUEST', 'expected a size in bytes', { path: 'size' });
  if (size > maxSize)
    throw new GridError('TOO_LARGE', `an object of ${size} bytes is larger than the ${maxSize} bytes that this store takes`, {
      path: 'size',
    });
}

export function tooLarge(limit: number): GridError {
  return new GridError('TOO_LARGE', `more than the ${limit} bytes that were announced or are allowed`, { path: 'body' });
}

export function checkPromise(got: ObjectRef, expected: Partial<ObjectRef>): void {
  if (expected.size !== undefined && got.size !== expected.size) {
    throw new GridError('HASH_MISMATCH', `${got.size} bytes came, ${expected.size} were promised`, {
      path: 'body',
      fix: 'Send the whole object again.',
    });
  }
  if (expected.sha256 !== undefined && got.sha256 !== expected.sha256) {
    throw new GridError('HASH_MISMATCH', `the bytes have SHA-256 ${got.sha256}, not ${expected.sha256}`, {
      path: 'body',
      fix: 'Send the bytes that were announced.',
    });
  }
}

/** First and last byte, both included. */
export function boundsOf({ first, last }: ByteRange, size: number): { start: number; end: number } {
  const end = Math.min(last ?? size - 1, size - 1);
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(end) || first < 0 || first > end) {
    throw new GridError('BAD_REQUEST', `no bytes ${first} to ${last ?? 'the end'} in an object of ${size}`, { path: 'range' });
  }
  return { start: first, end };
}
