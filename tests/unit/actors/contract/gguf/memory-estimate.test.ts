import { describe, expect, it } from 'vitest';

import type { GgufHeader } from '#actors/contract/gguf/gguf-header.ts';
import { estimateModelMemory } from '#actors/contract/gguf/memory-estimate.ts';

const MIB = 1024 * 1024;

/** The shape of a model of eight billion parameters with grouped heads. */
const header: GgufHeader = {
  version: 3,
  architecture: 'llama',
  name: 'eight',
  contextLength: 8_192,
  vocabularySize: 128_256,
  hasChatTemplate: true,
  tensorCount: 291,
  weightBytes: 4_600 * MIB,
  attention: { layers: 32, heads: 32, keyValueHeads: 8, width: 4_096, keyLength: 128, valueLength: 128 },
};

describe('what a model will take in memory', () => {
  it('counts 128 KiB of cache for each token of each sequence of an 8B model with grouped heads', () => {
    const one = estimateModelMemory(header, { contextSize: 4_096, sequences: 1 });
    const four = estimateModelMemory(header, { contextSize: 4_096, sequences: 4 });
    expect(four - one).toBe(3 * 4_096 * 128 * 1024);
  });

  it('is more than the weights, and less than twice them at a usual context', () => {
    const bytes = estimateModelMemory(header, { contextSize: 2_048, sequences: 4 });
    expect(bytes).toBeGreaterThan(header.weightBytes);
    expect(bytes).toBeLessThan(2 * header.weightBytes);
  });

  it('rounds the context up as the engine does', () => {
    expect(estimateModelMemory(header, { contextSize: 64, sequences: 1 })).toBe(
      estimateModelMemory(header, { contextSize: 256, sequences: 1 }),
    );
  });

  it('falls back to the weights for a model that does not tell its shape', () => {
    expect(estimateModelMemory({ ...header, attention: null }, { contextSize: 2_048, sequences: 1 })).toBeGreaterThan(
      1.2 * header.weightBytes,
    );
  });
});
