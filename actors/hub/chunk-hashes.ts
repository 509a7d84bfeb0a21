import { createHash } from 'node:crypto';

/** A model file is checked in pieces of this size, so that a spoilt byte costs one piece and not seventy gigabytes. */
export const CHUNK_BYTES = 8 * 1024 * 1024;
export const HASH_BYTES = 32;

export function chunkCount(size: number): number {
  return Math.ceil(size / CHUNK_BYTES);
}

/** The SHA-256 of every chunk of a stream, one after the other: 32 bytes for each 8 MiB. */
export class ChunkHashes {
  readonly #hashes: Uint8Array[] = [];
  #hash = createHash('sha256');
  #inChunk = 0;

  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const piece = bytes.subarray(from, from + CHUNK_BYTES - this.#inChunk);
      this.#hash.update(piece);
      this.#inChunk += piece.length;
      from += piece.length;
      if (this.#inChunk === CHUNK_BYTES) this.#close();
    }
  }

  /** Ends the last chunk. Nothing may be added afterwards. */
  digest(): Uint8Array {
    if (this.#inChunk > 0) this.#close();
    return Buffer.concat(this.#hashes);
  }

  #close(): void {
    this.#hashes.push(this.#hash.digest());
    this.#hash = createHash('sha256');
    this.#inChunk = 0;
  }
}
