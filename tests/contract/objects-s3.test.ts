import { createHash, randomBytes } from 'node:crypto';

import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { realHost } from '#runtime/host.ts';
import { openS3Objects, type S3Objects } from '#runtime/objects/s3-objects.ts';
import { s3SettingsOf } from '#runtime/objects/s3-settings.ts';
import { startS3, type S3Server } from '#tests/support/s3-server.ts';

import { chunksOf, objectsContract, type ObjectsUnderTest, refOf, send } from './objects.contract.ts';

const FIVE_MIB = 5 * 1024 ** 2;

let server: S3Server;
let admin: S3Client;
let buckets = 0;
beforeAll(async () => {
  server = await startS3();
  const { endpoint, region, accessKeyId, secretAccessKey } = server.settings;
  admin = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
}, 90_000);
afterAll(async () => {
  admin.destroy();
  await server.end();
});

interface BucketUnderTest extends ObjectsUnderTest {
  readonly objects: S3Objects;
  readonly bucket: string;
  readonly keys: () => Promise<string[]>;
}

async function makeBucket(): Promise<BucketUnderTest> {
  const bucket = `grid-${(buckets += 1)}`;
  await admin.send(new CreateBucketCommand({ Bucket: bucket }));
  const real = realHost().clock;
  let skew = 0;
  const clock = { now: () => real.now(), wall: () => real.wall() + skew };
  const objects = await openS3Objects({ settings: { ...server.settings, bucket }, clock, partSize: FIVE_MIB });
  async function keys(): Promise<string[]> {
    const { Contents = [] } = await admin.send(new ListObjectsV2Command({ Bucket: bucket }));
    return Contents.map(({ Key = '' }) => Key);
  }
  return {
    objects,
    bucket,
    keys,
    otherBytes: 400,
    // The length is signed, too.
    moreBytes: 403,
    async longAgo(sign) {
      skew = -61_000;
      const signed = await sign();
      skew = 0;
      return signed;
    },
    async dispose() {
      objects.close();
      const left = await keys();
      const { Uploads = [] } = await admin.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      for (const Key of left) await admin.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
      await admin.send(new DeleteBucketCommand({ Bucket: bucket }));
      expect({ strange: left.filter((key) => !/^sha256\/[0-9a-f]{64}$/.test(key)), Uploads }).toEqual({ strange: [], Uploads: [] });
    },
  };
}

objectsContract('S3', makeBucket);

describe('S3', () => {
  async function make(): Promise<BucketUnderTest> {
    const made = await makeBucket();
    onTestFinished(() => made.dispose());
    return made;
  }
  const large = randomBytes(13_000_000);

  it('takes what is larger than its memory in parts', async () => {
    const { objects, keys } = await make();
    const ref = refOf(large);
    expect(await objects.put(chunksOf(large, 700_000), ref)).toEqual(ref);
    expect(await objects.verify(ref.sha256)).toBe(true);
    await objects.delete(ref.sha256);
    // Its hash is known at its end only.
    expect(await objects.put(chunksOf(large, 700_000))).toEqual(ref);
    expect(await objects.verify(ref.sha256)).toBe(true);
    expect(await keys()).toEqual([`sha256/${ref.sha256}`]);
  });

  it('keeps nothing of a large one that is not what was promised, or breaks off', async () => {
    const { objects, keys } = await make();
    const other = refOf(Buffer.from('other'));
    await expect(objects.put(chunksOf(large, 700_000), { sha256: other.sha256 })).rejects.toMatchObject({ code: 'HASH_MISMATCH' });
    await expect(objects.put(chunksOf(large, 700_000), { size: large.length - 1 })).rejects.toMatchObject({ code: 'TOO_LARGE' });
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield* chunksOf(large.subarray(0, 11_000_000), 700_000);
      throw new Error('the source broke');
    }
    await expect(objects.put(broken(), refOf(large))).rejects.toThrow('the source broke');
    expect(await keys()).toEqual([]);
  });

  it('forgets uploads that never came to an end, and no young one', async () => {
    const { objects, keys, bucket } = await make();
    const ref = await objects.put(randomBytes(1_000));
    await admin.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: 'uploads/broken-off' }));
    await admin.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: `sha256/${ref.sha256}` }));
    await admin.send(new PutObjectCommand({ Bucket: bucket, Key: 'uploads/never-renamed', Body: randomBytes(10) }));
    expect(await objects.endUploads(Date.now() - 3_600_000)).toBe(0);
    expect(await objects.endUploads(Date.now() + 3_600_000)).toBe(3);
    expect(await objects.endUploads(Date.now() + 3_600_000)).toBe(0);
    expect(await keys()).toEqual([`sha256/${ref.sha256}`]);
  });

  it('signs addresses that cannot be bent', async () => {
    const { objects, keys, bucket } = await make();
    const body = randomBytes(100_000);
    const evil = Buffer.from(body);
    evil[7] = (evil[7] ?? 0) ^ 1;
    const put = await objects.presignPut(refOf(body), 60);
    const hashOfEvil = createHash('sha256').update(evil).digest('hex');
    const query = new URL(put.url);
    query.searchParams.set('X-Amz-Expires', '600');
    const attacks = [
      { ...put, headers: {} },
      { ...put, headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
      { ...put, headers: { 'x-amz-content-sha256': hashOfEvil } },
      {
        ...put,
        url: put.url.replace(`sha256/${refOf(body).sha256}`, `sha256/${hashOfEvil}`),
        headers: { 'x-amz-content-sha256': hashOfEvil },
      },
      { ...put, url: put.url.replace(`/${bucket}/`, '/another/') },
      { ...put, url: query.href },
      { ...put, url: put.url.replace(/X-Amz-Signature=./, 'X-Amz-Signature=z') },
      { ...put, url: put.url.slice(0, put.url.indexOf('?')) },
    ];
    for (const attack of attacks) {
      const response = await send(attack, evil);
      expect([400, 403, 404]).toContain(response.status);
      await response.body?.cancel();
    }
    expect(await keys()).toEqual([]);
    const anonymous = await fetch(`${server.settings.endpoint}/${bucket}`);
    expect(anonymous.status).toBe(403);
    await anonymous.body?.cancel();
    expect(put.url).not.toContain(server.settings.secretAccessKey);
  });

  it.each([
    [{ secretAccessKey: 'a wrong secret' }, /S3_SECRET_ACCESS_KEY/],
    [{ accessKeyId: 'nobody' }, /S3_ACCESS_KEY_ID/],
    [{ bucket: 'never-made' }, /S3_BUCKET/],
    [{ endpoint: 'http://127.0.0.1:1' }, /S3_ENDPOINT/],
  ])('says what is wrong when it is given %j', async (wrong, fix) => {
    const opening = openS3Objects({ settings: { ...server.settings, bucket: 'grid', ...wrong }, clock: realHost().clock });
    const error = (await opening.then(
      () => null,
      (reason: unknown) => reason,
    )) as Error & { fix: string };
    expect(error).toMatchObject({ code: 'UNREACHABLE', fix: expect.stringMatching(fix) });
    expect(`${error.message}${error.fix}`).not.toContain('secret ');
  });
});

describe('the settings of S3', () => {
  const good = { S3_ENDPOINT: 'https://s3.example', S3_BUCKET: 'grid', S3_ACCESS_KEY_ID: 'k', S3_SECRET_ACCESS_KEY: 's' };

  it('are none, or all of them', () => {
    expect(s3SettingsOf({ PATH: '/bin' })).toBeNull();
    expect(s3SettingsOf(good)).toMatchObject({ endpoint: 'https://s3.example', region: 'us-east-1' });
    expect(s3SettingsOf({ ...good, S3_REGION: 'eu' })).toMatchObject({ region: 'eu' });
  });

  it.each([
    ['S3_ENDPOINT', undefined],
    ['S3_BUCKET', ''],
    ['S3_ACCESS_KEY_ID', undefined],
    ['S3_SECRET_ACCESS_KEY', undefined],
    ['S3_ENDPOINT', 's3.example'],
    ['S3_ENDPOINT', 'https://key:secret@s3.example'],
    ['S3_BUCKET', '../etc'],
  ])('name %s when it is %j', (name, value) => {
    expect(() => s3SettingsOf({ ...good, [name]: value })).toThrow(expect.objectContaining({ code: 'BAD_CONFIGURATION', path: name }));
  });
});
