import { expect, it } from 'vitest';

import { bytesOfPiece } from '#agent/executors/inference/token-bytes.ts';

const text = (piece: string, kind: string): string => Buffer.from(bytesOfPiece(piece, kind) ?? []).toString('utf8');

it('reads SentencePiece: spaces stay, single bytes are bytes', () => {
  expect(text('\u2581fox', 'llama')).toBe(' fox');
  expect(text('\u2581\u2581a', 'llama')).toBe('  a');
  expect(bytesOfPiece('<0xE2>', 'llama')).toEqual(Uint8Array.of(0xe2));
  expect(text('<0xE2', 'llama')).toBe('<0xE2');
});

it('reads byte-level BPE: every byte has its character', () => {
  // As GPT-2 writes them: a space, a line break, and the three bytes of a euro sign.
  expect(text('\u0120fox', 'gpt2')).toBe(' fox');
  expect(text('\u010a', 'gpt2')).toBe('\n');
  expect(text('\u00e2\u0124\u00ac', 'gpt2')).toBe('€');
  expect(text('<|im_end|>', 'gpt2')).toBe('<|im_end|>');
});

it('knows no other kinds', () => {
  expect(bytesOfPiece('##ing', 'bert')).toBeNull();
});
