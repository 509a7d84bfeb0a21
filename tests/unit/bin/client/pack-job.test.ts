import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { MAX_INLINE_SHARDS } from '#actors/contract/primitives.ts';
import { packJobs, type PackedJob, type PackOverrides } from '#bin/client/pack-job.ts';
import { GridError } from '#runtime/errors.ts';
import { buildModule } from '#tests/support/module-builder.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const MODULE = buildModule();
const ID = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';

/** A folder with a job file, its module and the given texts below `texts/`. */
async function jobFolder(job: unknown, texts: Readonly<Record<string, string>> = {}): Promise<{ folder: string; file: string }> {
  const folder = await temporaryFolder('pack');
  writeFileSync(path.join(folder, 'a.wasm'), MODULE);
  for (const [name, content] of Object.entries(texts)) {
    const file = path.join(folder, 'texts', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  const file = path.join(folder, 'job.yaml');
  writeFileSync(file, typeof job === 'string' ? job : JSON.stringify(job));
  return { folder, file };
}

const counted = { version: 1, name: 'job', module: './a.wasm', shards: { count: 4 } };
const filed = (files: object = {}): object => ({ ...counted, shards: { files: { root: './texts', ...files } } });

async function packJob(file: string, overrides?: PackOverrides): Promise<PackedJob> {
  const [job, ...more] = await packJobs(file, () => ID, overrides);
  if (job === undefined || more.length > 0) throw new Error('not one job');
  return job;
}

async function contents(packed: PackedJob): Promise<string[]> {
  const texts: string[] = [];
  for (const { sha256, size } of 'inputs' in packed.spec.shards ? packed.spec.shards.inputs : []) {
    const object = packed.objects.find(({ ref }) => ref.sha256 === sha256);
    const chunks: Uint8Array[] = [];
    for await (const chunk of object?.open() ?? []) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    expect([bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([size, sha256]);
    texts.push(bytes.toString());
  }
  return texts;
}

async function refusal(file: string, overrides?: PackOverrides): Promise<GridError> {
  const error = await packJob(file, overrides).catch((reason: unknown) => reason);
  if (!(error instanceof GridError)) throw new Error(`not refused as it should be: ${String(error)}`);
  return error;
}

describe('a packed job', () => {
  it('names its module by hash and brings its bytes', async () => {
    const { file } = await jobFolder({ ...counted, merge: { args: ['all'] }, limits: { memoryMiB: 8 } });
    const packed = await packJob(file);
    const module = { sha256: createHash('sha256').update(MODULE).digest('hex'), size: MODULE.length };
    expect(packed.spec).toEqual({
      version: 1,
      name: 'job',
      kind: 'wasm',
      module,
      args: [],
      shards: { count: 4 },
      merge: { module, args: ['all'] },
      limits: { memoryMiB: 8, timeoutSeconds: 300, outputMiB: 64 },
      quorum: 2,
      maxFailures: 5,
      priority: 0,
    });
    expect(packed.objects.map(({ ref }) => ref)).toEqual([module]);
    expect(packed).toMatchObject({ files: 0, bytes: 0, leftOut: [] });
  });

  it('may merge with another module', async () => {
    const { folder, file } = await jobFolder({ ...counted, merge: { module: 'merge.wasm' } });
    writeFileSync(path.join(folder, 'merge.wasm'), buildModule({ start: [0x01] }));
    const { spec, objects } = await packJob(file);
    expect(objects.map(({ ref }) => ref)).toEqual([spec.module, spec.merge?.module]);
  });

  it('takes name, quorum and root from its caller', async () => {
    const { file } = await jobFolder(filed(), { 'a.txt': 'here' });
    const elsewhere = await temporaryFolder('elsewhere');
    writeFileSync(path.join(elsewhere, 'b.txt'), 'there');
    const packed = await packJob(file, { name: 'other', quorum: 3, root: elsewhere });
    expect(packed.spec).toMatchObject({ name: 'other', quorum: 3 });
    expect(await contents(packed)).toEqual(['there\n']);
  });

  it('reads YAML', async () => {
    const { file } = await jobFolder(
      "version: 1\nname: yaml # a comment\nmodule: a.wasm\nargs: [--shard, '{shard}', 7]\nshards: { count: 2 }\n",
    );
    expect((await packJob(file)).spec).toMatchObject({ name: 'yaml', args: ['--shard', '{shard}', '7'] });
  });
});

describe('packed files', () => {
  it('come in byte order of their whole paths, each followed by a newline', async () => {
    const { file } = await jobFolder(filed(), { 'b/z': '1', 'b.txt': '2', 'B/a': '3', 'b/a/c': '4', ä: '5', 'b-c': '6', a: '7' });
    const packed = await packJob(file);
    // B/a, a, b-c, b.txt, b/a/c, b/z, ä: capital letters, then `-` before `.` before `/`, then what is beyond ASCII.
    expect(await contents(packed)).toEqual(['3\n7\n6\n2\n4\n1\n5\n']);
    expect(packed).toMatchObject({ files: 7, bytes: 14 });
  });

  it('fill a shard to its limit and never beyond it', async () => {
    const kib = (letter: string, bytes: number): string => letter.repeat(bytes);
    const texts = { a: kib('a', 500), b: kib('b', 522), c: kib('c', 1), d: kib('d', 5000), e: kib('e', 1), f: '' };
    const { file } = await jobFolder(filed({ shardKiB: 1 }), texts);
    // a + b with their newlines are exactly 1024 bytes; d is too large for any shard but its own.
    expect((await contents(await packJob(file))).map((shard) => shard.length)).toEqual([1024, 2, 5001, 3]);
  });

  it('are chosen by patterns; what is excluded is not even entered', async () => {
    const texts = { 'a.md': 'a', 'b.txt': 'b', 'deep/er/c.md': 'c', 'skip/d.md': 'd', 'deep/skip/e.md': 'e' };
    const { file } = await jobFolder(filed({ include: ['**/*.md'], exclude: ['**/skip'] }), texts);
    expect(await contents(await packJob(file))).toEqual(['a\nc\n']);
  });

  it('are no symbolic links, and it is said which were left out', async () => {
    const { folder, file } = await jobFolder(filed(), { 'a.txt': 'a' });
    symlinkSync(path.join(folder, 'job.yaml'), path.join(folder, 'texts', 'link'));
    symlinkSync(folder, path.join(folder, 'texts', 'loop'));
    const packed = await packJob(file);
    expect(await contents(packed)).toEqual(['a\n']);
    expect(packed.leftOut).toEqual([
      { path: 'link', reason: 'is a symbolic link' },
      { path: 'loop', reason: 'is a symbolic link' },
    ]);
  });

  it('that are alike are one object of several shards', async () => {
    const { file } = await jobFolder(filed({ shardKiB: 1 }), { a: 'x'.repeat(800), b: 'x'.repeat(800) });
    const { spec, objects, bytes } = await packJob(file);
    expect(spec.shards).toMatchObject({ inputs: [{ size: 801 }, { size: 801 }] });
    expect([objects.length, bytes]).toEqual([2, 1602]);
  });

  it('that change before they are sent are noticed', async () => {
    const { folder, file } = await jobFolder(filed(), { a: 'before' });
    const packed = await packJob(file);
    writeFileSync(path.join(folder, 'texts', 'a'), 'longer than before');
    await expect(contents(packed)).rejects.toMatchObject({ code: 'CONFLICT', message: 'a changed while it was packed' });
  });

  it('give the same objects wherever they lie', async () => {
    const texts = { 'b/c': 'one', a: 'two' };
    const [first, second] = await Promise.all([1, 2].map(async () => packJob((await jobFolder(filed(), texts)).file)));
    expect(first?.spec).toEqual(second?.spec);
  });
});

describe('what cannot be packed', () => {
  it('is told by the field and the fix', async () => {
    const cases: [unknown, Partial<GridError>][] = [
      [
        { ...counted, shards: { count: 0 } },
        { code: 'BAD_SPEC', path: 'shards.count' },
      ],
      [
        { ...counted, module: 'gone.wasm' },
        { code: 'NOT_FOUND', path: 'module', fix: 'paths are relative to the job file' },
      ],
      [
        { ...counted, merge: { module: 'job.yaml' } },
        { code: 'BAD_BUNDLE', path: 'merge.module' },
      ],
      [filed({ root: './gone' }), { code: 'NOT_FOUND', path: 'shards.files.root' }],
      [filed({ include: ['*.none'] }), { code: 'BAD_SPEC', path: 'shards.files.include' }],
      ['a: [1', { code: 'BAD_SPEC' }],
      ['version: 1\nversion: 1\n', { code: 'BAD_SPEC' }],
      ['', { code: 'BAD_SPEC' }],
    ];
    for (const [job, expected] of cases) {
      const { file } = await jobFolder(job, { a: 'a' });
      expect(await refusal(file)).toMatchObject(expected);
    }
  });

  it('is a module that no agent would run', async () => {
    const { file } = await jobFolder({ ...counted, module: 'job.yaml' });
    expect((await refusal(file)).message).toBe('job.yaml: this is not a core WebAssembly module (version 1)');
  });

  it('is a job file that is not there, too large, or a bomb of aliases', async () => {
    const { folder, file } = await jobFolder(counted);
    expect(await refusal(path.join(folder, 'gone.yaml'))).toMatchObject({ code: 'NOT_FOUND' });
    writeFileSync(file, ' '.repeat(1024 * 1024 + 1));
    expect(await refusal(file)).toMatchObject({ code: 'TOO_LARGE' });
    const bomb = Array.from(
      { length: 12 },
      (_, i) => `l${i}: &l${i} [${Array.from({ length: 9 }, () => (i === 0 ? 'x' : `*l${i - 1}`)).join(', ')}]`,
    );
    writeFileSync(file, bomb.join('\n'));
    expect(await refusal(file)).toMatchObject({ code: 'BAD_SPEC' });
  });

  it('is a root for a job without files', async () => {
    const { folder, file } = await jobFolder(counted);
    expect(await refusal(file, { root: folder })).toMatchObject({ code: 'BAD_SPEC', path: 'shards', fix: 'leave --root away' });
  });

  it('is more shards than a job may list, and the fix says how large they should be', async () => {
    const { folder, file } = await jobFolder(filed({ shardKiB: 1 }), { first: 'x'.repeat(1000) });
    for (let i = 0; i < MAX_INLINE_SHARDS; i++) writeFileSync(path.join(folder, 'texts', `${i}`), 'x'.repeat(600));
    expect(await refusal(file)).toMatchObject({ path: 'shards.files.shardKiB', fix: 'raise shards.files.shardKiB above 2' });
  });

  it('is a wrong override', async () => {
    const { file } = await jobFolder(counted);
    expect(await refusal(file, { quorum: 99 })).toMatchObject({ code: 'BAD_SPEC', path: 'quorum' });
  });
});

describe('a file with several jobs', () => {
  const work = { module: './a.wasm', shards: { count: 2 } };
  const many = (jobs: object): object => ({ version: 1, jobs });
  const ids = (): (() => string) => {
    let n = 0;
    return () => `00000000-0000-4000-8000-00000000000${++n}`;
  };

  it('gives each after those that it needs, which it names by their ids', async () => {
    const { file } = await jobFolder(
      many({
        report: { ...work, shards: { outputsOf: 'train' }, needs: ['prepare', ID] },
        train: { ...work, needs: ['prepare'], name: 'training' },
        prepare: work,
      }),
    );
    const packed = await packJobs(file, ids());
    expect(packed.map(({ id, spec }) => [spec.name, id.at(-1), spec.needs?.map((need) => need.slice(-1)), spec.shards])).toEqual([
      ['prepare', '3', undefined, { count: 2 }],
      ['training', '2', ['3'], { count: 2 }],
      ['report', '1', ['3', ID.slice(-1)], { outputsOf: '00000000-0000-4000-8000-000000000002' }],
    ]);
  });

  it.each<[string, string, object]>([
    ['jobs.b.needs[0]', 'jobs.b: needs[0]: there is no job c in this file, and it is no job id', { b: { ...work, needs: ['c'] } }],
    [
      'jobs.a.needs',
      'jobs.a.needs: a needs b needs a: none of them could begin',
      { a: { ...work, needs: ['b'] }, b: { ...work, needs: ['a'] } },
    ],
    ['jobs.a.module', 'jobs.a: the module b.wasm cannot be read', { a: { ...work, module: 'b.wasm' } }],
    ['jobs.a.kind', 'jobs.a.kind: no agent runs GPU kernels yet: use kind: wasm', { a: { ...work, kind: 'kernel' } }],
    ['jobs', 'jobs: expected at least one job', {}],
  ])('says at %s what is wrong', async (where, message, jobs) => {
    const { file, folder } = await jobFolder(many(jobs));
    const error = await packJobs(file, ids()).catch((reason: unknown) => reason);
    if (!(error instanceof GridError)) throw new Error(`not refused: ${String(error)}`);
    expect([error.path, error.message.replace(`${folder}/`, '')]).toEqual([where, message]);
    expect(error.fix).toBeTypeOf('string');
  });

  it('takes no option that is for one job', async () => {
    const { file } = await jobFolder(many({ a: work }));
    await expect(packJobs(file, ids(), { name: 'x' })).rejects.toThrow('--name is for files with one job');
  });
});

describe('lines as shards', () => {
  const lines = { ...counted, shards: { jsonl: './texts/lines.jsonl' } };

  it('are one object for each that is not blank', async () => {
    const { file } = await jobFolder(lines, { 'lines.jsonl': '{"a":1}\n\n[2]\n"three"' });
    expect(await contents(await packJob(file))).toEqual(['{"a":1}', '[2]', '"three"']);
  });

  it('must be JSON, and there must be some', async () => {
    const broken = await jobFolder(lines, { 'lines.jsonl': '1\n{a}\n' });
    expect((await refusal(broken.file)).message).toContain('shards.jsonl: line 2 of');
    const empty = await jobFolder(lines, { 'lines.jsonl': '\n' });
    expect((await refusal(empty.file)).message).toContain('has 0 lines; 1 to 20000 are allowed');
    const missing = await jobFolder(lines);
    expect(await refusal(missing.file)).toMatchObject({ code: 'NOT_FOUND', path: 'shards.jsonl' });
  });
});

it('each file by itself is a shard with its bytes as they are', async () => {
  const { file } = await jobFolder(filed({ each: true }), { a: 'one', b: '' });
  expect(await contents(await packJob(file))).toEqual(['one', '']);
});
