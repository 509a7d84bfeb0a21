import { BadGguf, type ByteSource } from '#actors/contract/gguf/gguf-bytes.ts';
import { type GgufHeader, parseGgufHeader } from '#actors/contract/gguf/gguf-header.ts';
import { GridError } from '#runtime/errors.ts';
import type { ObjectRef, Objects } from '#runtime/objects/objects.ts';

import { ChunkHashes } from './chunk-hashes.ts';

/** A header is a few MiB; it is read again, further, as long as it goes on behind what was read. */
const PREFIXES = [16, 64, 256].map((mib) => mib * 1024 * 1024);

/** The header asks for bytes behind the prefix. */
class NeedsMore extends Error {}

/**
 * Reads a stored model file: its header, checked as strictly as an agent will, and the hash of each of its chunks.
 *
 * @throws GridError MODEL_FAILED when it is not a sound GGUF file, OBJECT_MISSING when it is not in the store
 */
export async function inspectStoredModel(objects: Objects, ref: ObjectRef): Promise<{ header: GgufHeader; chunks: Uint8Array }> {
  const header = await readHeader(objects, ref);
  const hashes = new ChunkHashes();
  for await (const chunk of await openObject(objects, ref.sha256)) hashes.add(chunk as Uint8Array);
  return { header, chunks: hashes.digest() };
}

async function openObject(objects: Objects, sha256: string, last?: number): Promise<AsyncIterable<unknown>> {
  const opened = await objects.open(sha256, last === undefined ? undefined : { first: 0, last });
  if (opened === null) throw new GridError('OBJECT_MISSING', `object ${sha256} is not in the store`);
  return opened.stream;
}

async function readHeader(objects: Objects, { sha256, size }: ObjectRef): Promise<GgufHeader> {
  for (const length of PREFIXES) {
    const parts: Uint8Array[] = [];
    for await (const chunk of await openObject(objects, sha256, Math.min(length, size) - 1)) parts.push(chunk as Uint8Array);
    const prefix = Buffer.concat(parts);
    try {
      return parseGgufHeader(sourceOf(prefix, size));
    } catch (error) {
      if (error instanceof NeedsMore) continue;
      if (!(error instanceof BadGguf)) throw error;
      throw new GridError('MODEL_FAILED', `this is not a GGUF file that CorpGrid would load: ${error.where}: ${error.message}`, {
        path: error.where,
        fix: 'take a whole, unmodified model file in GGUF format',
        cause: error,
      });
    }
  }
  throw new GridError('MODEL_FAILED', 'the header of the model file is larger than 256 MiB');
}

function sourceOf(prefix: Uint8Array, size: number): ByteSource {
  return {
    size,
    read(into, position) {
      const piece = prefix.subarray(position, position + into.length);
      if (piece.length === 0) throw new NeedsMore();
      into.set(piece);
      return piece.length;
    },
  };
}
