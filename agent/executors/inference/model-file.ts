import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

import type { GgufHeader } from '#actors/contract/gguf/gguf-header.ts';
import { GridError } from '#runtime/errors.ts';

import { readGgufHeader } from './gguf-header.ts';

/** A model file that was read from its first to its last byte. */
export interface ModelFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly header: GgufHeader;
  /** Changes whenever the file does: device, inode, size and both change times. */
  readonly identity: string;
}

/** @throws GridError MODEL_FAILED when there is no such file. */
export async function fileIdentity(path: string): Promise<{ identity: string; size: number }> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return { identity: [dev, ino, size, mtimeNs, ctimeNs].join(':'), size: Number(size) };
  } catch (cause) {
    throw new GridError('MODEL_FAILED', `The model file ${path} cannot be read.`, {
      fix: 'Check that it exists and that the agent may read it.',
      cause,
    });
  }
}

/**
 * Checks a model file's header and computes its SHA-256. Give back the former answer as `known` and an unchanged file is not
 * read again.
 *
 * @throws GridError MODEL_FAILED for a file that is missing, not a sound GGUF, or that changed while it was read.
 */
export async function inspectModelFile(path: string, known?: ModelFile, signal?: AbortSignal): Promise<ModelFile> {
  const { identity, size } = await fileIdentity(path);
  if (known !== undefined && known.path === path && known.identity === identity) return known;
  const header = readGgufHeader(path);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, signal === undefined ? {} : { signal });
  if ((await fileIdentity(path)).identity !== identity) {
    throw new GridError('MODEL_FAILED', `The model file ${path} changed while it was read.`, {
      fix: 'Try again when nothing writes to it.',
    });
  }
  return { path, size, sha256: hash.digest('hex'), header, identity };
}
