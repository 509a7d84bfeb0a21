import { createHmac, timingSafeEqual } from 'node:crypto';

import { GridError } from '#runtime/errors.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import { checkRef, checkTtl } from './expectation.ts';
import { objectKey, type ObjectRef, type SignedRequest } from './objects.ts';

/**
 * Addresses that permit one thing for a while: `/objects/sha256/<hex>?e=<expiry>&n=<size>&sig=<signature>`. The signature is an
 * HMAC over method, key, expiry, hash and size, so that none of them can be exchanged. Whoever holds an address may use it as
 * often as it lives; that is harmless, because the bytes are fixed by their hash.
 */

export interface UrlSigner {
  sign(method: 'GET' | 'PUT', ref: ObjectRef, ttlSeconds: number): SignedRequest;
  /**
   * What the address of a request permits.
   *
   * @param method as the request has it; HEAD counts as GET
   * @param url the request's target as it came over the wire: path and query
   * @throws GridError BAD_REQUEST when it is no such address; FORBIDDEN when it was not signed for this, or has expired
   */
  check(method: string, url: string): ObjectRef;
}

export interface UrlSignerOptions {
  /** At least 32 bytes; whoever knows them can read and write everything. */
  readonly secret: Uint8Array;
  /** Where the store's server listens, like `http://grid.example:8080`, or empty. Asked anew for each address. */
  readonly baseUrl: () => string;
  readonly clock: Clock;
}

const PATH = /^\/objects\/sha256\/([0-9a-f]{64})$/;

export function createUrlSigner({ secret, baseUrl, clock }: UrlSignerOptions): UrlSigner {
  if (secret.length < 32) throw new RangeError(`the secret for signed addresses needs 32 bytes, not ${secret.length}`);

  // Every field has a fixed alphabet without line breaks, so the text can be read in one way only.
  const signatureOf = (method: string, { sha256, size }: ObjectRef, expires: number): Buffer =>
    createHmac('sha256', secret)
      .update(['corpgrid.objects.v1', method, objectKey(sha256), expires, sha256, size].join('\n'))
      .digest();

  return {
    sign(method, ref, ttlSeconds) {
      checkRef(ref);
      checkTtl(ttlSeconds);
      const expires = Math.floor(clock.wall() / 1000) + ttlSeconds;
      const signature = signatureOf(method, ref, expires).toString('base64url');
      const url = `${baseUrl().replace(/\/+$/, '')}/objects/${objectKey(ref.sha256)}?e=${expires}&n=${ref.size}&sig=${signature}`;
      return { method, url, headers: method === 'PUT' ? { 'content-type': 'application/octet-stream' } : {} };
    },

    check(method, url) {
      // Taken as it came: parsing with `new URL` would tidy up "..", and then what was checked is not what was sent.
      const [path = '', query = ''] = url.split('?', 2);
      const sha256 = PATH.exec(path)?.[1];
      if (sha256 === undefined) throw new GridError('BAD_REQUEST', 'not the address of an object', { path: 'url' });
      const parameters = new URLSearchParams(query);
      const expires = wholeNumber(parameters.get('e'));
      const ref = { sha256, size: wholeNumber(parameters.get('n')) };
      const expected = signatureOf(method === 'HEAD' ? 'GET' : method, ref, expires);
      const given = Buffer.from(parameters.get('sig') ?? '', 'base64url');
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new GridError('FORBIDDEN', `this address is not signed for ${method}, or was altered`, {
          fix: 'Ask the grid for an address; they cannot be made by hand.',
        });
      }
      if (clock.wall() >= expires * 1000)
        throw new GridError('FORBIDDEN', 'this address has expired', { fix: 'Ask the grid for a new one.' });
      return ref;
    },
  };
}

/** -1, which is never signed, for all that is not plainly a number: `1e3`, ` 5`, `05`. */
function wholeNumber(text: string | null): number {
  return text !== null && /^(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : -1;
}
