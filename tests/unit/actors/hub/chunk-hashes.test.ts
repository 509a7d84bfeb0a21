import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { CHUNK_BYTES, chunkCount, ChunkHashes, HASH_BYTES } from '#actors/hub/chunk-hashes.ts';

const file = Buffer.alloc(2 * CHUNK_BYTES + 5, 'abcdefg');

function hashes(pieces: number): Buffer {
  const made = new ChunkHashes();
  for (let at = 0; at < file.length; at += pieces) made.add(file.subarray(at, at + pieces));
  return Buffer.from(made.digest());
}

describe('hashes of chunks', () => {
  it('are the SHA-256 of each 8 MiB, the last one shorter', () => {
    const expected = [0, 1, 2].map((n) =>
      createHash('sha256')
        .update(file.subarray(n * CHUNK_BYTES, (n + 1) * CHUNK_BYTES))
        .digest(),
    );
    expect(hashes(file.length)).toEqual(Buffer.concat(expected));
    expect(chunkCount(file.length) * HASH_BYTES).toBe(3 * 32);
  });

  it('do not depend on how the bytes come', () => {
    expect(hashes(1_000_003)).toEqual(hashes(file.length));
    expect(hashes(CHUNK_BYTES)).toEqual(hashes(file.length));
  });

  it('of nothing are none', () => {
    expect(new ChunkHashes().digest()).toHaveLength(0);
  });
});
