import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { explainIssues } from '#actors/contract/explain.ts';
import { JobFile, JobsFile } from '#actors/contract/job-file.ts';

const LEAST = { version: 1, name: 'count', module: './a.wasm', shards: { count: 3 } };

const FORMS =
  'expected one of `count: 100`, `files: { root: ./texts }`, `jsonl: ./lines.jsonl`, `grid: { rate: [1, 2] }`, `outputsOf: other`';

function complaint(file: unknown): string {
  const result = JobFile.safeParse(file);
  if (result.success) throw new Error('the file was accepted');
  const { path, message } = explainIssues(result.error);
  return path === '' ? message : `${path}: ${message}`;
}

describe('a job file', () => {
  it('needs a version, a name, a module and shards; the rest has defaults', () => {
    expect(JobFile.parse(LEAST)).toEqual({
      ...LEAST,
      kind: 'wasm',
      args: [],
      limits: { memoryMiB: 256, timeoutSeconds: 300, outputMiB: 64 },
    });
  });

  it('packs all files below its root into half-megabyte shards unless it says otherwise', () => {
    const { shards } = JobFile.parse({ ...LEAST, shards: { files: { root: 'texts' } } });
    expect(shards).toEqual({ files: { root: 'texts', include: ['**'], exclude: [], shardKiB: 512, each: false } });
  });

  it('takes numbers among the arguments as YAML gives them', () => {
    expect(JobFile.parse({ ...LEAST, args: ['--width', 640], merge: { args: [1.5] } })).toMatchObject({
      args: ['--width', '640'],
      merge: { args: ['1.5'] },
    });
  });

  it.each(['word-count', 'render'])('is what the example %s has', (name) => {
    const text = readFileSync(new URL(`../../../../examples/${name}/job.yaml`, import.meta.url), 'utf8');
    expect(JobFile.safeParse(parse(text))).toMatchObject({ success: true });
  });

  it('with several jobs is what the example pipeline has', () => {
    const text = readFileSync(new URL('../../../../examples/pipeline/job.yaml', import.meta.url), 'utf8');
    expect(JobsFile.safeParse(parse(text))).toMatchObject({ success: true });
  });

  it.each<[string, unknown]>([
    ['version: expected 1, the only version of job files', { ...LEAST, version: 2 }],
    ['name: Too small: expected string to have >=1 characters', { ...LEAST, name: '' }],
    ['module: Invalid input: expected string, received undefined', { ...LEAST, module: undefined }],
    ['module: expected a path, relative to the job file', { ...LEAST, module: '' }],
    ['unknown field modul', { ...LEAST, modul: './b.wasm' }],
    [`shards: ${FORMS}`, { ...LEAST, shards: undefined }],
    [`shards: ${FORMS}`, { ...LEAST, shards: { count: 1, files: { root: '.' } } }],
    ['shards.count: Too small: expected number to be >=1', { ...LEAST, shards: { count: 0 } }],
    ['shards.files: unknown field shardKib', { ...LEAST, shards: { files: { root: '.', shardKib: 3 } } }],
    ['args[1]: expected text or a number (YAML wants quotes around braces: "{shard}")', { ...LEAST, args: ['--shard', { shard: null }] }],
    ['limits.memoryMiB: Too big: expected number to be <=4096', { ...LEAST, limits: { memoryMiB: 5000 } }],
    ['quorum: Too big: expected number to be <=9', { ...LEAST, quorum: 10 }],
    ['kind: no agent runs native programs yet: build the program for WASI and use kind: wasm', { ...LEAST, kind: 'process' }],
    ['kind: no agent runs GPU kernels yet: use kind: wasm', { ...LEAST, kind: 'kernel' }],
    [
      'kind: prompts are no shards of jobs yet: send them to POST /v1/batches, which a loaded model answers line by line',
      { version: 1, name: 'no module', kind: 'inference', shards: { count: 1 } },
    ],
    ['kind: Invalid option: expected one of "wasm"|"process"|"kernel"|"inference"', { ...LEAST, kind: 'docker' }],
    ['shards.grid: expected at least one parameter, such as `rate: [0.1, 0.2]`', { ...LEAST, shards: { grid: {} } }],
    ['shards.grid.rate: expected at least one value', { ...LEAST, shards: { grid: { rate: [] } } }],
    ['shards.grid.shard: {shard} is taken: call the parameter otherwise', { ...LEAST, shards: { grid: { shard: [1] } } }],
    ['needs: Invalid input: expected array, received string', { ...LEAST, needs: 'other' }],
    ['deadlineSeconds: Too small: expected number to be >=1', { ...LEAST, deadlineSeconds: 0 }],
    ['retry.pauseSeconds: Too big: expected number to be <=3600', { ...LEAST, retry: { pauseSeconds: 4_000 } }],
    ['resources.sandbox: Invalid option: expected one of "weak"|"limited"|"strong"', { ...LEAST, resources: { sandbox: 'best' } }],
    ['constraints.sites: Too small: expected array to have >=1 items', { ...LEAST, constraints: { sites: [] } }],
    ['Invalid input: expected object, received null', null],
  ])('is told what is wrong: %s', (message, file) => {
    expect(complaint(file)).toBe(message);
  });
});
