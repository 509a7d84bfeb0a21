import { existsSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { modelOnTrial } from './model-on-trial.ts';

/** A folder with models that are too large, or not ours, to lie in the repository. */
const folder = process.env['CORPGRID_TEST_MODELS'];
const file = folder === undefined ? undefined : path.join(folder, 'stories260K.gguf');
const missing = file === undefined ? 'set CORPGRID_TEST_MODELS to run this' : existsSync(file) ? undefined : `${file} is not there`;

it.skipIf(missing !== undefined)(`a trained model tells a story${missing === undefined ? '' : ` (${missing})`}`, async () => {
  const { model, generate } = await modelOnTrial(file, { contextSize: 512 });
  await model.load();
  const [first, second] = [
    generate('Once upon a time', { maxTokens: 60 }),
    generate('Once upon a time', { maxTokens: 60, temperature: 0.8, seed: 3 }),
  ];
  expect((await first.ended).outcome).toMatch(/^(stop|length)$/);
  await second.ended;
  for (const { text } of [first, second]) {
    expect(text.length).toBeGreaterThan(40);
    expect(text).toMatch(/\b(the|a|was|to|and)\b/);
    expect(text).not.toMatch(/<\/?s>|\uFFFD/);
  }
});
