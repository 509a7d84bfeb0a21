import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { GridClient } from '#bin/client/grid-client.ts';

const WORD_COUNT = path.join(import.meta.dirname, '..', '..', 'examples', 'word-count', 'word-count.wasm');

export async function upload(client: GridClient, bytes: Uint8Array): Promise<ObjectRef> {
  const ref = { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
  await client.upload(ref, { bytes });
  return ref;
}

/** A real module, for devices that run it and for a grid that looks at every module it is given. */
export async function uploadWordCount(client: GridClient): Promise<ObjectRef> {
  return upload(client, await readFile(WORD_COUNT));
}
