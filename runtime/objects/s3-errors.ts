import { GridError } from '#runtime/errors.ts';

import type { S3Settings } from './s3-settings.ts';

const FIXES: Record<string, string> = {
  InvalidAccessKeyId: 'The server does not know this key: correct S3_ACCESS_KEY_ID.',
  SignatureDoesNotMatch: 'The secret is wrong: correct S3_SECRET_ACCESS_KEY.',
  AccessDenied: 'The key may not use this bucket: check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and the policy of the bucket.',
  NoSuchBucket: 'Create the bucket, or correct S3_BUCKET.',
  RequestTimeTooSkewed: 'The clocks of this machine and of the server differ: set them right.',
  ECONNREFUSED: 'Nothing listens there: start the server, or correct S3_ENDPOINT.',
  ENOTFOUND: 'The host name is not known: correct S3_ENDPOINT.',
};

const BY_STATUS: Record<number, string> = {
  403: 'The server refuses the key: check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and the policy of the bucket.',
  404: 'Create the bucket, or correct S3_BUCKET.',
};

/** The HTTP status that the server answered; undefined when it was no answer of the server. */
export function statusOfS3(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

/** What the server or the line to it did wrong, in words for people. The driver's error stays out: it knows the request. */
export function unreachable(error: unknown, { endpoint, bucket }: S3Settings): GridError {
  const { name = '', code = '', message = '' } = error as { name?: string; code?: string; message?: string };
  const status = statusOfS3(error);
  const why = status === undefined ? code || message : `${name === 'Unknown' || name === '' ? 'HTTP' : name} ${status}`;
  const fix = FIXES[name] ?? FIXES[code] ?? BY_STATUS[status ?? 0] ?? 'Check that the server runs and can be reached from here.';
  return new GridError('UNREACHABLE', `The object store at ${endpoint}, bucket ${bucket}, does not work: ${why}.`, {
    path: 'S3_ENDPOINT',
    fix,
  });
}
