import path from 'node:path';

import { afterAll, beforeAll, describe } from 'vitest';

import { forkHost } from '#agent/executors/inference/forked-host.ts';
import { hostEnvironment } from '#agent/executors/inference/host-environment.ts';
import { inspectModelFile } from '#agent/executors/inference/model-file.ts';
import { llamaServer } from '#agent/executors/served/llama-server.ts';
import { upstream } from '#agent/executors/served/upstream.ts';
import { realHost } from '#runtime/host.ts';
import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { newKey } from '#tests/integration/doors/visitors.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { type Grid, startGrid } from '#tests/support/grid.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

import { engineContract, type EngineOnTrial } from './engine-contract.ts';

/** A llama-server is packaged for no Debian: where there is one, this names it. Its protocol is tested without it by what one really said. */
const LLAMA_SERVER = process.env['CORPGRID_LLAMA_SERVER'];

const CONTEXT = 1024;
const LOAD = { contextSize: CONTEXT, sequences: 2, threads: 1, gpu: false } as const;

async function tinyFile(): Promise<string> {
  const file = path.join(await temporaryFolder('engine'), 'tiny.gguf');
  writeTinyLlama(file);
  return file;
}

describe('our own engine', () => {
  engineContract(async (): Promise<EngineOnTrial> => {
    const modelPath = await tinyFile();
    return { start: (events) => forkHost(hostEnvironment(process.env), events), load: { ...LOAD, modelPath }, tokens: true };
  });
});

if (LLAMA_SERVER !== undefined) {
  describe('a llama-server', () => {
    engineContract(async (): Promise<EngineOnTrial> => {
      const modelPath = await tinyFile();
      const file = await inspectModelFile(modelPath);
      const start = llamaServer({ host: realHost(), program: LLAMA_SERVER, file });
      return { start, load: { ...LOAD, modelPath }, tokens: true };
    });
  });
}

describe('an upstream: another grid', () => {
  let grid: Grid;
  let key: string;

  beforeAll(async () => {
    grid = await startGrid();
    const file = path.join(grid.folder, 'tiny.gguf');
    writeTinyLlama(file);
    const { device } = await grid.startAgent('only', { slots: 0, models: [file], contextSize: CONTEXT, sequences: 2 });
    await untilPresent(grid, [device]);
    ({ key } = await newKey(grid, 'another-grid'));
  });
  afterAll(() => endWithoutLeak(grid));

  engineContract(async (): Promise<EngineOnTrial> => {
    const start = upstream({ host: realHost(), url: `${grid.url}/v1`, key, model: 'tiny' });
    return { start, load: { ...LOAD, modelPath: '' }, tokens: false };
  });
});
