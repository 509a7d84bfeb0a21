import { describe, expect, it } from 'vitest';

import { parseModelSource } from '#actors/hub/model-source.ts';

describe('where a model comes from', () => {
  it('reads the name of a file of a hub, with its revision and its folders', () => {
    expect(parseModelSource('hf:Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf')).toEqual({
      text: 'hf:Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf',
      url: 'https://huggingface.co/Qwen/Qwen3-8B-GGUF/resolve/main/Qwen3-8B-Q4_K_M.gguf',
      name: 'Qwen3-8B-Q4_K_M',
    });
    expect(parseModelSource('hf:a/b/q8/x.gguf@v1.2', 'http://mirror:8080').url).toBe('http://mirror:8080/a/b/resolve/v1.2/q8/x.gguf');
  });

  it('reads an address', () => {
    expect(parseModelSource('https://files.example/models/tiny.Q8_0.gguf?x=1')).toMatchObject({
      url: 'https://files.example/models/tiny.Q8_0.gguf?x=1',
      name: 'tiny.Q8_0',
    });
  });

  it.each([
    'tiny',
    'hf:a/b',
    'hf:a/b/c.safetensors',
    'hf:a/../c.gguf',
    'hf:a/b/../../../etc/x.gguf',
    'hf:a/b/c.gguf@main@x',
    'hf:a/b/c.gguf@../main',
    'hf:a//c.gguf',
    'file:///etc/model.gguf',
    'ftp://a/b.gguf',
    'https://a/b.bin',
    'https://a/a%20b.gguf',
    'https://me:secret@a/b.gguf',
  ])('refuses %s and says what is known', (text) => {
    expect(() => parseModelSource(text)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', path: 'source' }));
  });

  it('does not repeat a password', () => {
    expect(() => parseModelSource('https://me:secret@a/b.gguf')).not.toThrow(/secret/);
  });
});
