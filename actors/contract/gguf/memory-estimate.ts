import type { GgufHeader } from './gguf-header.ts';

/** Bytes of one cached value: the engine keeps keys and values as 16-bit floats. */
const CACHE_VALUE_BYTES = 2;
const FLOAT_BYTES = 4;
/** The engine itself, its graph and its scratch, whatever the model: measured at 60 to 90 MB for models of 1 to 143 MB. */
const ENGINE_BYTES = 96 * 1024 * 1024;

export interface ModelUse {
  /** Tokens that each generation can look back on. */
  readonly contextSize: number;
  /** Generations at once; each has its own cache of the full context. */
  readonly sequences: number;
  /** Tokens that are computed at once. */
  readonly batchSize?: number;
}

/**
 * What a model will take once it is loaded: weights, the key-value cache of every sequence, the widest rows of one batch (its
 * logits and its activations) and the engine. An estimate to place by; the ledger puts the true figure in its place after the
 * load. Models whose shape the file does not tell are taken at 1.2 times their weights.
 */
export function estimateModelMemory(header: GgufHeader, { contextSize, sequences, batchSize = 512 }: ModelUse): number {
  const { attention, weightBytes, vocabularySize } = header;
  if (attention === null) return Math.ceil(weightBytes * 1.2) + ENGINE_BYTES;
  const { layers, keyValueHeads, keyLength, valueLength, width } = attention;
  const perToken = layers * keyValueHeads * (keyLength + valueLength) * CACHE_VALUE_BYTES;
  // The engine rounds a context up to whole blocks of 256.
  const cache = perToken * Math.ceil(contextSize / 256) * 256 * sequences;
  const batch = batchSize * (vocabularySize + 8 * width) * FLOAT_BYTES;
  return weightBytes + cache + batch + ENGINE_BYTES;
}
