import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { readGgufHeader } from '#agent/executors/inference/gguf-header.ts';
import { encodeGguf } from '#tests/support/gguf/gguf-writer.ts';
import { tinyLlama, type TinyLlamaOptions, writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { FIRST_BYTE_TOKEN, spell, tinyVocabulary } from '#tests/support/gguf/tiny-vocabulary.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const hashOf = (options?: TinyLlamaOptions): string =>
  createHash('sha256')
    .update(encodeGguf(tinyLlama(options)))
    .digest('hex');

describe('the tiny model', () => {
  it('has the same bytes on every machine and every day', () => {
    expect(hashOf()).toBe('87f6b0dd095f843224450e8ca0698e8eafd85398fa0df3679c40be810ffd86c1');
    expect(hashOf({ recite: ' one day the little fox', ends: true })).toBe(
      '8b3a9a6e2bcf179068fcd94355995c4e6a53fca6c2c9e215b2dcaddd8f1e8581',
    );
  });

  it('differs by seed', () => {
    expect(hashOf({ seed: 2 })).not.toBe(hashOf({ seed: 1 }));
  });

  it('is small and a sound model file', async () => {
    const file = path.join(await temporaryFolder('tiny-llama'), 'tiny.gguf');
    writeTinyLlama(file, { contextLength: 4096 });
    expect(readFileSync(file).length).toBeLessThan(1024 * 1024);
    expect(readGgufHeader(file)).toEqual({
      version: 3, architecture: 'llama', name: 'tiny', contextLength: 4096, vocabularySize: tinyVocabulary().tokens.length, hasChatTemplate: true, tensorCount: 21,
      weightBytes: expect.any(Number), attention: { layers: 2, heads: 4, keyValueHeads: 2, width: 64, keyLength: 16, valueLength: 16 },
    }); // prettier-ignore
  });

  it('can spell any text', () => {
    const { tokens } = tinyVocabulary();
    const written = (text: string): string =>
      Buffer.concat(
        spell(text).map((id) =>
          id < FIRST_BYTE_TOKEN + 256 ? Buffer.from([id - FIRST_BYTE_TOKEN]) : Buffer.from((tokens[id] ?? '').replaceAll('\u2581', ' ')),
        ),
      ).toString();
    for (const text of [' one day', 'Hello, grid!', '😀é日\n', ' the unknownword', '']) expect(written(text)).toBe(text);
  });

  it('refuses a text to recite that it could not tell from itself', () => {
    for (const recite of ['', 'aa', 'a\nb']) expect(() => tinyLlama({ recite })).toThrow(/at most once/);
  });
});
