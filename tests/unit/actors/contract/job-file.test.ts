import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { explainIssues } from '#actors/contract/explain.ts';
import { JobFile } from '#actors/contract/job-file.ts';

const LEAST = { version: 1, name: 'count', module: './a.wasm', shards: { count: 3 } };

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
    expect(shards).toEqual({ files: { root: 'texts', include: ['**'], exclude: [], shardKiB: 512 } });
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

  it.each<[string, unknown]>([
    ['version: expected 1, the only version of job files', { ...LEAST, version: 2 }],
    ['name: Too small: expected string to have >=1 characters', { ...LEAST, name: '' }],
    ['module: Invalid input: expected string, received undefined', { ...LEAST, module: undefined }],
    ['module: expected a path, relative to the job file', { ...LEAST, module: '' }],
    ['unknown field modul', { ...LEAST, modul: './b.wasm' }],
    ['shards: expected either `count: 100` or `files: { root: ./texts }`', { ...LEAST, shards: undefined }],
    ['shards: expected either `count: 100` or `files: { root: ./texts }`', { ...LEAST, shards: { count: 1, files: { root: '.' } } }],
    ['shards.count: Too small: expected number to be >=1', { ...LEAST, shards: { count: 0 } }],
    ['shards.files: unknown field shardKib', { ...LEAST, shards: { files: { root: '.', shardKib: 3 } } }],
    ['args[1]: expected text or a number (YAML wants quotes around braces: "{shard}")', { ...LEAST, args: ['--shard', { shard: null }] }],
    ['limits.memoryMiB: Too big: expected number to be <=4096', { ...LEAST, limits: { memoryMiB: 5000 } }],
    ['quorum: Too big: expected number to be <=9', { ...LEAST, quorum: 10 }],
    ['Invalid input: expected object, received null', null],
  ])('is told what is wrong: %s', (message, file) => {
    expect(complaint(file)).toBe(message);
  });
});
