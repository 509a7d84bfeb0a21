import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { inspectModelFile } from '#agent/executors/inference/model-file.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

it('tells size, hash and header of a model file', async () => {
  const file = path.join(await temporaryFolder('model-file'), 'tiny.gguf');
  writeTinyLlama(file);
  const bytes = readFileSync(file);
  const found = await inspectModelFile(file);
  expect(found).toMatchObject({ path: file, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  expect(found.header.architecture).toBe('llama');
});

it('does not read an unchanged file again, and a changed one it does', async () => {
  const file = path.join(await temporaryFolder('model-file'), 'tiny.gguf');
  writeTinyLlama(file);
  const first = await inspectModelFile(file);
  expect(await inspectModelFile(file, first)).toBe(first);
  appendFileSync(file, 'x');
  const second = await inspectModelFile(file, first);
  expect(second.sha256).not.toBe(first.sha256);
  expect(second.size).toBe(first.size + 1);
});

it('says that a file is not there', async () => {
  const file = path.join(await temporaryFolder('model-file'), 'none.gguf');
  await expect(inspectModelFile(file)).rejects.toMatchObject({ code: 'MODEL_FAILED', fix: expect.stringContaining('exists') });
});

it('stops reading when nobody wants the answer any more', async () => {
  const file = path.join(await temporaryFolder('model-file'), 'tiny.gguf');
  writeTinyLlama(file);
  await expect(inspectModelFile(file, undefined, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
});
