import { writeFileSync } from 'node:fs';

import { encodeGguf, type GgufContent, type GgufTensor, type GgufValue } from './gguf-writer.ts';
import { randomFrom, randomWeights } from './random-weights.ts';
import { BEGIN_TOKEN, END_TOKEN, FIRST_BYTE_TOKEN, FIRST_PIECE_TOKEN, spell, tinyVocabulary, UNKNOWN_TOKEN } from './tiny-vocabulary.ts';

/**
 * A Llama of half a megabyte with random weights: real enough for the whole way from the GGUF file to streamed text, and the
 * same bytes on every machine.
 *
 * Two kinds. Without `recite` it babbles words and never ends by itself. With `recite` it says that text: each token's
 * embedding is written into the output row of the token that follows it, and the layers are too quiet to disturb that.
 *
 * How control tokens are kept out: dimension 0 of the hidden state is 1 for every token and no layer writes to it, so an
 * output row that is strongly negative there is never sampled.
 */
export interface TinyLlamaOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Tokens that it claims to have been trained for. Default 2048. */
  readonly contextLength?: number;
  /** Text to say, in tokens of the vocabulary that must all be different. It starts over at its end. */
  readonly recite?: string;
  /** With `recite`: end the message after the text. Default false. */
  readonly ends?: boolean;
  /** Leave the chat template out. Default false. */
  readonly withoutTemplate?: boolean;
}

const WIDTH = 64;
const HIDDEN = 128;
const LAYERS = 2;
const HEADS = 4;
const KEY_HEADS = 2;

const CHAT_TEMPLATE =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const NEWLINE_TOKEN = FIRST_BYTE_TOKEN + 0x0a;

function successors(options: TinyLlamaOptions): [from: number, to: number][] {
  if (options.recite === undefined) return [];
  const ids = spell(options.recite);
  if (ids.length === 0 || new Set([...ids, NEWLINE_TOKEN]).size !== ids.length + 1) {
    throw new Error('a text to recite needs at least one token, every token at most once, and no newline');
  }
  // The template ends the prompt with a newline.
  const chain = [NEWLINE_TOKEN, ...ids];
  const last = options.ends === true ? END_TOKEN : (ids[0] as number); // ids is not empty
  return chain.map((from, index) => [from, chain[index + 1] ?? last]);
}

function embeddings(options: TinyLlamaOptions, vocabulary: number): { input: Float32Array; output: Float32Array } {
  const random = randomFrom((options.seed ?? 1) * 7919);
  const input = randomWeights(vocabulary * WIDTH, random, 1);
  const output = randomWeights(vocabulary * WIDTH, random, options.recite === undefined ? 0.3 : 0.02);
  for (let token = 0; token < vocabulary; token++) {
    input[token * WIDTH] = 1;
    output[token * WIDTH] = token < FIRST_BYTE_TOKEN ? -100 : token < FIRST_PIECE_TOKEN ? -8 : 0;
  }
  const pairs = successors(options);
  for (const [, to] of pairs) output.fill(0, to * WIDTH, (to + 1) * WIDTH);
  // A sum, as a text that starts over has a first token with two predecessors.
  for (const [from, to] of pairs) {
    const source = input.subarray(from * WIDTH, (from + 1) * WIDTH);
    const target = output.subarray(to * WIDTH, (to + 1) * WIDTH);
    target.forEach((value, d) => (target[d] = d === 0 ? 0 : value + (source[d] ?? 0)));
  }
  return { input, output };
}

function layer(index: number, random: () => number, loudness: number): GgufTensor[] {
  const keys = (WIDTH / HEADS) * KEY_HEADS;
  const matrix = (name: string, columns: number, rows: number, silentRow: boolean): GgufTensor => {
    const values = randomWeights(columns * rows, random, (silentRow ? loudness : 1) / Math.sqrt(columns));
    if (silentRow) values.fill(0, 0, columns);
    return { name: `blk.${index}.${name}.weight`, dimensions: [columns, rows], values };
  };
  const norm = (name: string): GgufTensor => ({
    name: `blk.${index}.${name}.weight`,
    dimensions: [WIDTH],
    values: new Float32Array(WIDTH).fill(1),
  });
  return [
    norm('attn_norm'),
    matrix('attn_q', WIDTH, WIDTH, false),
    matrix('attn_k', WIDTH, keys, false),
    matrix('attn_v', WIDTH, keys, false),
    matrix('attn_output', WIDTH, WIDTH, true),
    norm('ffn_norm'),
    matrix('ffn_gate', WIDTH, HIDDEN, false),
    matrix('ffn_down', HIDDEN, WIDTH, true),
    matrix('ffn_up', WIDTH, HIDDEN, false),
  ];
}

function metadata(options: TinyLlamaOptions): [string, GgufValue][] {
  const { tokens, scores, types } = tinyVocabulary();
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const entries: [string, GgufValue][] = [
    ['general.architecture', text('llama')],
    ['general.name', text('tiny')],
    ['general.file_type', u32(0)],
    ['llama.context_length', u32(options.contextLength ?? 2048)],
    ['llama.embedding_length', u32(WIDTH)],
    ['llama.block_count', u32(LAYERS)],
    ['llama.feed_forward_length', u32(HIDDEN)],
    ['llama.attention.head_count', u32(HEADS)],
    ['llama.attention.head_count_kv', u32(KEY_HEADS)],
    ['llama.rope.dimension_count', u32(WIDTH / HEADS)],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['llama.vocab_size', u32(tokens.length)],
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: tokens }],
    ['tokenizer.ggml.scores', { type: 'array', of: 'f32', values: scores }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', values: types }],
    ['tokenizer.ggml.bos_token_id', u32(BEGIN_TOKEN)],
    ['tokenizer.ggml.eos_token_id', u32(END_TOKEN)],
    ['tokenizer.ggml.unknown_token_id', u32(UNKNOWN_TOKEN)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_eos_token', { type: 'bool', value: false }],
  ];
  if (options.withoutTemplate !== true) entries.push(['tokenizer.chat_template', text(CHAT_TEMPLATE)]);
  return entries;
}

/** What `writeTinyLlama` writes, for tests that want to spoil a part of it first. */
export function tinyLlama(options: TinyLlamaOptions = {}): GgufContent {
  const vocabulary = tinyVocabulary().tokens.length;
  const { input, output } = embeddings(options, vocabulary);
  const random = randomFrom((options.seed ?? 1) * 104_729 + 1);
  const loudness = options.recite === undefined ? 0.5 : 0.01;
  return {
    metadata: metadata(options),
    tensors: [
      { name: 'token_embd.weight', dimensions: [WIDTH, vocabulary], values: input },
      { name: 'output_norm.weight', dimensions: [WIDTH], values: new Float32Array(WIDTH).fill(1) },
      { name: 'output.weight', dimensions: [WIDTH, vocabulary], values: output },
      ...Array.from({ length: LAYERS }, (_, index) => layer(index, random, loudness)).flat(),
    ],
  };
}

/** Writes the model to `path`; the same options always give the same bytes. */
export function writeTinyLlama(path: string, options: TinyLlamaOptions = {}): void {
  writeFileSync(path, encodeGguf(tinyLlama(options)));
}
