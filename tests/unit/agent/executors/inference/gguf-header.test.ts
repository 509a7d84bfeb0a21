import { writeFileSync } from 'node:fs';
import path from 'node:path';

import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';

import { readGgufHeader } from '#agent/executors/inference/gguf-header.ts';
import { GridError } from '#runtime/errors.ts';
import { encodeGguf, type GgufContent, type GgufValue } from '#tests/support/gguf/gguf-writer.ts';
import { tinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const content = tinyLlama();
const sound = encodeGguf(content);
const [firstOne] = content.tensors;
if (firstOne === undefined) throw new Error('the model has no tensors');
/** Where the tensor infos begin: just before the first tensor's name. */
const tensorsAt = sound.indexOf('token_embd.weight') - 8;
/** From a tensor's name to the fields behind it: dimensions' number, dimensions, type, offset. */
const firstTensor = { dimensions: tensorsAt + 8 + 17, type: tensorsAt + 8 + 17 + 4 + 16, offset: tensorsAt + 8 + 17 + 4 + 16 + 4 };

let file = '';
beforeEach(async () => {
  file = path.join(await temporaryFolder('gguf'), 'model.gguf');
});

function refusal(bytes: Uint8Array): GridError {
  writeFileSync(file, bytes);
  try {
    readGgufHeader(file);
  } catch (error) {
    if (error instanceof GridError) return error;
    throw error;
  }
  throw new Error('the file should have been refused');
}

function patched(at: number, write: (bytes: Buffer, at: number) => void): Buffer {
  const bytes = Buffer.from(sound);
  write(bytes, at);
  return bytes;
}

function withMetadata(change: (entries: [string, GgufValue][]) => void): Buffer {
  const entries = content.metadata.map(([key, value]): [string, GgufValue] => [key, value]);
  change(entries);
  return encodeGguf({ ...content, metadata: entries });
}

const set = (key: string, value: GgufValue): Buffer =>
  withMetadata((entries) => {
    const at = entries.findIndex(([known]) => known === key);
    if (at < 0) entries.push([key, value]);
    else entries[at] = [key, value];
  });

const reshaped = (change: (tensors: GgufContent['tensors'][number][]) => void): Buffer => {
  const tensors = [...content.tensors];
  change(tensors);
  return encodeGguf({ ...content, tensors });
};

describe('the strict reader of model files', () => {
  it('takes a sound file, of version 2 as well', () => {
    writeFileSync(
      file,
      patched(4, (bytes, at) => bytes.writeUInt32LE(2, at)),
    );
    expect(readGgufHeader(file)).toMatchObject({ version: 2, architecture: 'llama', contextLength: 2048 });
  });

  const attacks: [what: string, bytes: Buffer, where: RegExp, message: RegExp][] = [
    ['an empty file', Buffer.alloc(0), /^header$/, /needs 4 bytes/],
    ['another format', patched(0, (b) => b.write('GGML')), /^header$/, /does not begin/],
    ['version 1', patched(4, (b, at) => b.writeUInt32LE(1, at)), /^header$/, /version 1/],
    ['a big-endian file', patched(4, (b, at) => b.writeUInt32BE(3, at)), /^header$/, /version 50331648/],
    ['2^64 - 1 tensors', patched(8, (b, at) => b.writeBigUInt64LE(2n ** 64n - 1n, at)), /^header$/, /number of tensors/],
    ['2^63 metadata entries', patched(16, (b, at) => b.writeBigUInt64LE(2n ** 63n, at)), /^header$/, /number of metadata/],
    ['a key longer than the file', patched(24, (b, at) => b.writeBigUInt64LE(60_000_000n, at)), /^metadata entry 0$/, /length of a key/],
    ['a key with a line break', patched(32, (b, at) => b.write('\n', at)), /^metadata entry 0$/, /characters/],
    ['a value type that does not exist', patched(32 + 20, (b, at) => b.writeUInt32LE(99, at)), /general\.architecture/, /value type 99/],
    [
      'a boolean of 2',
      patched(sound.indexOf('tokenizer.ggml.add_bos_token') + 28 + 4, (b, at) => b.writeUInt8(2, at)),
      /add_bos_token/,
      /boolean is 2/,
    ],
    [
      'an array of arrays',
      patched(sound.indexOf('tokenizer.ggml.tokens') + 21 + 4, (b, at) => b.writeUInt32LE(9, at)),
      /ggml\.tokens/,
      /array of arrays/,
    ],
    [
      'an array of 2^40',
      patched(sound.indexOf('tokenizer.ggml.scores') + 21 + 8, (b, at) => b.writeBigUInt64LE(2n ** 40n, at)),
      /ggml\.scores/,
      /length of an array/,
    ],
    ['a key that comes twice', withMetadata((e) => e.push(['general.name', { type: 'string', value: 'again' }])), /general\.name/, /twice/],
    ['an alignment of 3', set('general.alignment', { type: 'u32', value: 3 }), /general\.alignment/, /power of two/],
    ['an alignment of 0', set('general.alignment', { type: 'u32', value: 0 }), /general\.alignment/, /power of two/],
    ['no architecture', withMetadata((e) => e.shift()), /architecture/, /name its architecture/],
    [
      'an architecture that is a path',
      set('general.architecture', { type: 'string', value: '../llama' }),
      /architecture/,
      /name its architecture/,
    ],
    ['an adapter', set('general.type', { type: 'string', value: 'adapter' }), /general\.type/, /not a model/],
    ['one part of several', set('split.count', { type: 'u32', value: 4 }), /split\.count/, /split over several/],
    [
      'no vocabulary',
      withMetadata((e) =>
        e.splice(
          e.findIndex(([k]) => k === 'tokenizer.ggml.tokens'),
          1,
        ),
      ),
      /tokens/,
      /vocabulary/,
    ],
    ['fewer scores than tokens', set('tokenizer.ggml.scores', { type: 'array', of: 'f32', values: [0] }), /scores/, /1 entries for/],
    ['token types that are no list', set('tokenizer.ggml.token_type', { type: 'u32', value: 1 }), /token_type/, /no entries for/],
    [
      'an end token outside of the vocabulary',
      set('tokenizer.ggml.eos_token_id', { type: 'u32', value: 1_000_000 }),
      /eos_token_id/,
      /outside of the vocabulary/,
    ],
    ['an end token that is a text', set('tokenizer.ggml.eos_token_id', { type: 'string', value: '2' }), /eos_token_id/, /whole number/],
    ['a tensor name of 64 bytes', reshaped((t) => (t[0] = { ...firstOne, name: 'x'.repeat(64) })), /^tensor 0$/, /length of a tensor name/],
    ['a tensor that comes twice', reshaped((t) => t.push(firstOne)), /token_embd/, /twice/],
    ['no dimensions', patched(firstTensor.dimensions, (b, at) => b.writeUInt32LE(0, at)), /token_embd/, /0 dimensions/],
    ['2^31 dimensions', patched(firstTensor.dimensions, (b, at) => b.writeUInt32LE(2 ** 31, at)), /token_embd/, /dimensions/],
    ['a dimension of 0', patched(firstTensor.dimensions + 4, (b, at) => b.writeBigUInt64LE(0n, at)), /token_embd/, /dimension is 0/],
    [
      'dimensions whose product overflows',
      patched(firstTensor.dimensions + 4, (b, at) => b.writeBigUInt64LE(2n ** 52n, at)),
      /token_embd/,
      /overflows/,
    ],
    [
      'a dimension of 2^63',
      patched(firstTensor.dimensions + 4, (b, at) => b.writeBigUInt64LE(2n ** 63n, at)),
      /token_embd/,
      /a dimension is/,
    ],
    ['a tensor type that was retired', patched(firstTensor.type, (b, at) => b.writeUInt32LE(4, at)), /token_embd/, /type 4 is unknown/],
    ['a row that does not fill its blocks', patched(firstTensor.type, (b, at) => b.writeUInt32LE(12, at)), /token_embd/, /blocks of 256/],
    ['a tensor at the wrong place', patched(firstTensor.offset, (b, at) => b.writeBigUInt64LE(32n, at)), /token_embd/, /expected at 0/],
    [
      'a tensor far outside of the file',
      patched(firstTensor.offset, (b, at) => b.writeBigUInt64LE(2n ** 53n - 1n, at)),
      /token_embd/,
      /expected at 0/,
    ],
    ['weights that were cut off', sound.subarray(0, sound.length - 4096), /^tensors\.blk\.1/, /ends at byte/],
    [
      'tensors that lie on one another',
      patched(sound.indexOf('output_norm.weight') + 18 + 4 + 8 + 4, (b, at) => b.writeBigUInt64LE(0n, at)),
      /output_norm/,
      /expected at/,
    ],
  ];

  it.each(attacks)('refuses %s', (_what, bytes, where, message) => {
    const error = refusal(bytes);
    expect(error.code).toBe('MODEL_FAILED');
    expect(error.path).toMatch(where);
    expect(error.message).toMatch(message);
  });

  it('refuses every file that was cut off anywhere in its header', () => {
    for (let length = 0; length < tensorsAt + 2000; length += 37) expect(refusal(sound.subarray(0, length)).code).toBe('MODEL_FAILED');
  });

  it('never fails in any other way, whatever is wrong with the header', () => {
    const headerBytes = sound.subarray(0, tensorsAt + 2000);
    const change = fc.tuple(fc.integer({ min: 0, max: headerBytes.length - 8 }), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(sound);
        for (const [at, value] of changes) bytes.set(value, at);
        writeFileSync(file, bytes);
        try {
          readGgufHeader(file);
        } catch (error) {
          if (!(error instanceof GridError)) throw error;
        }
      }),
      { numRuns: 400, seed: 20260101 },
    );
  });
});
