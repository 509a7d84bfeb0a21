import { writeFileSync } from 'node:fs';

import { encodeGguf, type GgufTensor, type GgufValue } from '#tests/support/gguf/gguf-writer.ts';
import { BEGIN_TOKEN, END_TOKEN, tinyVocabulary, UNKNOWN_TOKEN } from '#tests/support/gguf/tiny-vocabulary.ts';

/** A Llama of 134 million random weights in Q8_0: the shape of small real ones, and nothing to download. */
const WIDTH = 768;
const HIDDEN = 2_048;
const LAYERS = 12;
const HEADS = 12;
export const VOCABULARY = 32_000;
export const CONTEXT = 1_024;

/** 1 / 127 · 0.06 as a 16-bit float, about what trained weights of this width have. */
const SCALE = 0x0fbe;
const NORMAL = 1;

/** Bytes of a linear congruential generator: speed matters here, and no statistics. */
function quantised(count: number, seed: number): { q8: Buffer } {
  const bytes = Buffer.allocUnsafe((count / 32) * 34);
  let state = seed >>> 0;
  for (let block = 0; block < bytes.length; block += 34) {
    bytes.writeUInt16LE(SCALE, block);
    for (let i = 2; i < 34; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[block + i] = state >>> 24;
    }
  }
  return { q8: bytes };
}

export function writeRandomModel(path: string): void {
  let seed = 1;
  const matrix = (name: string, columns: number, rows: number): GgufTensor => ({
    name: `${name}.weight`,
    dimensions: [columns, rows],
    values: quantised(columns * rows, seed++),
  });
  const norm = (name: string): GgufTensor => ({ name: `${name}.weight`, dimensions: [WIDTH], values: new Float32Array(WIDTH).fill(1) });
  const layer = (n: number): GgufTensor[] => [
    norm(`blk.${n}.attn_norm`),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) => matrix(`blk.${n}.${name}`, WIDTH, WIDTH)),
    norm(`blk.${n}.ffn_norm`),
    matrix(`blk.${n}.ffn_gate`, WIDTH, HIDDEN),
    matrix(`blk.${n}.ffn_down`, HIDDEN, WIDTH),
    matrix(`blk.${n}.ffn_up`, WIDTH, HIDDEN),
  ];
  const tensors = [
    matrix('token_embd', WIDTH, VOCABULARY),
    norm('output_norm'),
    matrix('output', WIDTH, VOCABULARY),
    ...Array.from({ length: LAYERS }, (_, n) => layer(n)).flat(),
  ];
  writeFileSync(path, encodeGguf({ metadata: metadata(), tensors }));
}

function metadata(): [string, GgufValue][] {
  const { tokens, scores, types } = tinyVocabulary();
  const more = Array.from({ length: VOCABULARY - tokens.length }, (_, n) => `\u2581w${n}`);
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  return [
    ['general.architecture', text('llama')],
    ['general.name', text('random')],
    ['general.file_type', u32(7)],
    ['llama.context_length', u32(CONTEXT)],
    ['llama.embedding_length', u32(WIDTH)],
    ['llama.block_count', u32(LAYERS)],
    ['llama.feed_forward_length', u32(HIDDEN)],
    ['llama.attention.head_count', u32(HEADS)],
    ['llama.attention.head_count_kv', u32(HEADS)],
    ['llama.rope.dimension_count', u32(WIDTH / HEADS)],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['llama.vocab_size', u32(VOCABULARY)],
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: [...tokens, ...more] }],
    ['tokenizer.ggml.scores', { type: 'array', of: 'f32', values: [...scores, ...more.map((_, n) => -1_000 - n)] }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', values: [...types, ...more.map(() => NORMAL)] }],
    ['tokenizer.ggml.bos_token_id', u32(BEGIN_TOKEN)],
    ['tokenizer.ggml.eos_token_id', u32(END_TOKEN)],
    ['tokenizer.ggml.unknown_token_id', u32(UNKNOWN_TOKEN)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_eos_token', { type: 'bool', value: false }],
    ['tokenizer.chat_template', text("{% for message in messages %}{{ message['content'] }}{% endfor %}")],
  ];
}
