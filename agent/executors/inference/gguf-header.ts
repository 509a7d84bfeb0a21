import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { BadGguf } from '#actors/contract/gguf/gguf-bytes.ts';
import { type GgufHeader, parseGgufHeader } from '#actors/contract/gguf/gguf-header.ts';
import { GridError } from '#runtime/errors.ts';

/**
 * Reads and checks the header of a model file on this machine.
 *
 * @throws GridError MODEL_FAILED when anything in it does not hold together; `path` says where.
 */
export function readGgufHeader(path: string): GgufHeader {
  const descriptor = openSync(path, 'r');
  try {
    return parseGgufHeader({
      size: fstatSync(descriptor).size,
      read: (into, position) => readSync(descriptor, into, 0, into.length, position),
    });
  } catch (error) {
    if (!(error instanceof BadGguf)) throw error;
    throw new GridError(
      'MODEL_FAILED',
      `The model file ${path} is not a GGUF file that CorpGrid would load: ${error.where}: ${error.message}.`,
      {
        path: error.where,
        fix: 'Take a whole, unmodified model file in GGUF format.',
        cause: error,
      },
    );
  } finally {
    closeSync(descriptor);
  }
}
