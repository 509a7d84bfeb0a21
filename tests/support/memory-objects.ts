import { Readable } from 'node:stream';

import { sha256Hex } from '#runtime/identity/digest.ts';
import type { Objects } from '#runtime/objects/objects.ts';

/** Objects in memory: the outermost port of the simulation. Addresses are names that the simulated device understands. */
export function memoryObjects(): Objects & { keep(bytes: Uint8Array): { sha256: string; size: number } } {
  const stored = new Map<string, Uint8Array>();
  function keep(bytes: Uint8Array): { sha256: string; size: number } {
    const ref = { sha256: sha256Hex(bytes), size: bytes.length };
    stored.set(ref.sha256, bytes);
    return ref;
  }
  return {
    keep,
    async put(source) {
      if (!(source instanceof Uint8Array)) throw new Error('the simulation puts bytes only');
      return keep(source);
    },
    async open(sha256) {
      const bytes = stored.get(sha256);
      return bytes === undefined ? null : { size: bytes.length, stream: Readable.from([bytes]) };
    },
    async head(sha256) {
      const bytes = stored.get(sha256);
      return bytes === undefined ? null : { sha256, size: bytes.length };
    },
    async verify(sha256) {
      return stored.has(sha256);
    },
    async delete(sha256) {
      return stored.delete(sha256);
    },
    async *list() {
      for (const [sha256, bytes] of stored) yield { sha256, size: bytes.length };
    },
    endUploads: async () => 0,
    presignPut: async (ref) => ({ method: 'PUT', url: `memory:${ref.sha256}`, headers: {} }),
    presignGet: async (ref) => ({ method: 'GET', url: `memory:${ref.sha256}`, headers: {} }),
  };
}
