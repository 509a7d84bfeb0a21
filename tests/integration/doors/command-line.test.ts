import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { JobSummary } from '#actors/contract/live.ts';
import { endWithoutLeak, startAgents } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { EXAMPLES, newToken, upload, wordCount } from './visitors.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
const WORD_COUNT = path.join(EXAMPLES, 'word-count', 'word-count.wasm');
/** A port that is reserved and that nobody here listens on. */
const NOBODY = 'http://127.0.0.1:1';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('the command line', () => {
  let grid: Grid;
  /** Where commands run; their temporary files would be in `tmp`. */
  let desk: string;
  const file = (name: string): string => path.join(desk, name);

  beforeAll(async () => {
    grid = await startGrid();
    await startAgents(grid, ['only']);
  });
  afterAll(() => endWithoutLeak(grid));
  beforeEach(async () => {
    desk = await mkdtemp(path.join(tmpdir(), 'corpgrid-desk-'));
    await mkdir(file('tmp'));
  });
  afterEach(async () => {
    expect(await readdir(file('tmp'))).toEqual([]);
    await rm(desk, { recursive: true });
    expect(existsSync(desk)).toBe(false);
  });

  /** Runs a command to its end, as a person at this desk with an administrator's key would. */
  async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    const child = spawn(process.execPath, [path.join(ROOT, 'bin', 'corpgrid.ts'), ...args], {
      cwd: desk,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CORPGRID_URL: grid.url, CORPGRID_KEY: grid.adminKey, TMPDIR: file('tmp'), ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, stdout, stderr };
  }

  async function jobFile(text: string): Promise<string> {
    await writeFile(file('job.yaml'), text);
    return file('job.yaml');
  }

  /** What a grid keeps: nothing of it may change by bad input. */
  async function kept(): Promise<unknown> {
    const objects = await readdir(path.join(grid.folder, 'data', 'objects'), { recursive: true });
    const [jobs, devices] = [await grid.client.jobs(), await grid.client.devices()];
    return { objects: objects.sort(), jobs: jobs.map((job) => job.id), devices: devices.map((device) => device.id) };
  }

  /** The command ends with `code`, says something like `words` and how to mend it, and changes nothing. */
  async function expectRefusal(
    args: readonly string[],
    code: number,
    words: readonly RegExp[],
    env: Record<string, string> = {},
  ): Promise<Ended> {
    const before = await kept();
    const files = (await readdir(desk, { recursive: true })).sort();
    const ended = await run(args, env);
    expect({ ...ended, code: ended.code }).toMatchObject({ code, stdout: '' });
    for (const word of words) expect(ended.stderr).toMatch(word);
    // A stack trace is for defects.
    expect(ended.stderr).not.toMatch(/^\s+at /m);
    expect(await kept()).toEqual(before);
    expect((await readdir(desk, { recursive: true })).sort()).toEqual(files);
    return ended;
  }

  describe('a job file', () => {
    const good = `version: 1\nname: test\nmodule: ${WORD_COUNT}\nargs: [count]\nshards: { count: 1 }\n`;

    it.each([
      ['is not there', null, [/NOT_FOUND|cannot be read/, /fix: check the path/]],
      ['is no YAML', 'name: [', [/not YAML or JSON/]],
      ['is of a version to come', good.replace('version: 1', 'version: 2'), [/version: .*expected 1/]],
      ['has a wrong quorum', `${good}quorum: 99\n`, [/quorum/]],
      ['has a field that is none', `${good}colour: red\n`, [/colour/]],
      ['has no shards', good.replace(/shards.*\n/, ''), [/shards: .*count: 100/]],
      ['is of a kind that nothing runs yet', `${good}kind: kernel\n`, [/kind: no agent runs GPU kernels yet/, /fix: /]],
      ['needs a job that there is not', `${good}needs: [other]\n`, [/needs\[0\]: there is no job other/, /fix: name a job of this file/]],
      ['is for another tenant’s', `${good}tenant: ''\n`, [/tenant/]],
      ['wants too much memory', `${good}limits: { memoryMiB: 1000000 }\n`, [/limits\.memoryMiB/]],
      [
        'names a module that is not there',
        good.replace(WORD_COUNT, './none.wasm'),
        [/module: .*none\.wasm/, /fix: paths are relative to the job file/],
      ],
      [
        'names input that is not there',
        good.replace('{ count: 1 }', '{ files: { root: ./none } }'),
        [/shards\.files\.root: .*none/, /fix: check the path/],
      ],
    ])('that %s', async (_, text, words) => {
      const spec = text === null ? file('none.yaml') : await jobFile(text);
      await expectRefusal(['submit', spec], 2, words);
    });

    it('with jobs that need each other runs them in turn, the outputs of one being the inputs of the other', async () => {
      const ended = await run(['submit', path.join(EXAMPLES, 'pipeline', 'job.yaml'), '--quorum', '1', '--json']);
      expect({ ...ended, stdout: '' }).toEqual({ code: 0, stdout: '', stderr: expect.any(String) });
      const { jobs } = JSON.parse(ended.stdout) as { jobs: JobSummary[] };
      expect(jobs.map(({ name, state, shards }) => [name, state, shards])).toEqual([
        ['words of each line', 'done', 3],
        ['lines of each word', 'done', 4],
      ]);
      const out = file('results');
      expect((await run(['results', jobs[1]?.id ?? '', '--out', out])).code).toBe(0);
      const table = await readFile(path.join(out, 'result'), 'utf8');
      const lines = Object.fromEntries(
        table
          .trim()
          .split('\n')
          .map((line) => line.split('\t')),
      );
      expect(lines).toMatchObject({ text: '3', that: '3', machine: '1', machines: '2', quorum: '1' });
      const why = await run(['jobs', jobs[1]?.id ?? '', '--why', '--json']);
      expect(JSON.parse(why.stdout)).toMatchObject({ hold: 'ended' });
    });

    it('that needs a job which the grid has not is refused with the field', async () => {
      const ended = await run(['submit', await jobFile(`${good}needs: [6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90]\n`)]);
      expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/needs\[0\]: no job 6b5d3f0a[\s\S]*fix: /) });
    });

    it('with a grid of parameters, deadline and pauses is taken', async () => {
      const grids = `${good.replace('[count]', "[count, '{mode}']").replace('{ count: 1 }', '{ grid: { mode: [a, b] } }')}quorum: 1\ndeadlineSeconds: 600\nretry: { pauseSeconds: 3600 }\nmaxFailures: 2\n`;
      const ended = await run(['submit', await jobFile(grids), '--no-wait', '--json']);
      const { id } = JSON.parse(ended.stdout) as JobSummary;
      const { shards, counts } = await grid.client.job(id);
      expect([shards, counts.failed]).toEqual([2, 0]);
      expect((await run(['cancel', id])).code).toBe(0);
    });

    it('whose module is not wasm, or would not be run by any agent', async () => {
      await writeFile(file('text.wasm'), 'this is no module');
      await writeFile(file('empty.wasm'), Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
      await expectRefusal(['submit', await jobFile(good.replace(WORD_COUNT, './text.wasm'))], 2, [/module: .*text\.wasm/]);
      await expectRefusal(['submit', await jobFile(good.replace(WORD_COUNT, './empty.wasm'))], 2, [/module: .*_start/]);
    });

    it('when a flag is wrong', async () => {
      const spec = await jobFile(good);
      await expectRefusal(['submit', spec, '--quorum', 'two'], 2, [/--quorum/, /fix: give a number from 1 to 9/]);
      await expectRefusal(['submit', spec, '--root', './none'], 2, [/shards/, /fix: leave --root away/]);
      await expectRefusal(['submit', spec, '--colour', 'red'], 2, [/--colour/, /--help/]);
      await expectRefusal(['submit'], 2, [/spec/]);
    });
  });

  it('shows and changes what tenants may have, for administrators only', async () => {
    expect((await run(['keys', 'create', '--name', 'bo', '--tenant', 'physics'])).code).toBe(0);
    const set = await run(['tenants', 'set', 'physics', '--weight', '2.5', '--max-running', '7', '--json']);
    expect(JSON.parse(set.stdout)).toEqual({ name: 'physics', weight: 2.5, maxRunning: 7, maxGpus: null });
    expect((await run(['tenants', 'set', 'physics', '--max-running', 'none'])).stdout).toMatch(/physics\s+2\.5\s+none\s+none/);
    const list = JSON.parse((await run(['tenants', '--json'])).stdout) as unknown[];
    expect(list).toContainEqual({ name: 'physics', weight: 2.5, maxRunning: null, maxGpus: null });
    await expectRefusal(['tenants', 'set', 'physics', '--weight', '0'], 2, [/--weight/, /fix: /]);
    await expectRefusal(['tenants', 'set', 'No Name', '--weight', '1'], 2, [/name: expected a name/]);
    const { key } = (await grid.client.post('/api/keys', { name: 'eve', tenant: 'physics' })) as { key: string };
    const refused = await run(['tenants'], { CORPGRID_KEY: key });
    expect(refused).toMatchObject({ stdout: '', stderr: expect.stringMatching(/admin key/) });
    expect(refused.code).not.toBe(0);
  });

  it('address and key: what is wrong with them, and 3 only where nobody answers', async () => {
    await expectRefusal(['jobs', '--url', 'nonsense'], 2, [/--url: "nonsense" is not the address of a grid/, /fix: give it like http/]);
    await expectRefusal(['jobs', '--url', 'ftp://127.0.0.1'], 2, [/--url/]);
    await expectRefusal(['jobs', '--url', NOBODY], 3, [/--url: no grid answers at/, /fix: check the address/]);
    await expectRefusal(['jobs'], 3, [/--url/], { CORPGRID_URL: NOBODY });
    await expectRefusal(['jobs', '--key', 'cg_wrong'], 2, [/the key is unknown or revoked/, /fix: /]);
    await expectRefusal(['jobs', '--key', 'ключ'], 2, [/--key: /, /fix: /]);
    await expectRefusal(['jobs', 'seven'], 2, [/id: /]);
    await expectRefusal(['jobs', '00000000-0000-4000-8000-000000000000'], 2, [/no job/, /fix: `corpgrid jobs` lists them/]);
    await expectRefusal(['verify', file('none.json')], 2, [/receipt: /, /fix: /]);
    await expectRefusal(['explode'], 2, [/explode/]);
  });

  it('an agent that cannot join leaves neither a folder nor a spent token', async () => {
    const agent = (...args: string[]): string[] => ['agent', '--state', file('state'), ...args];
    await expectRefusal(agent('--url', 'nonsense'), 2, [/--url/, /fix: /]);
    await expectRefusal(agent('--url', grid.url), 2, [/--token: /, /fix: .*corpgrid tokens create/]);
    await expectRefusal(agent('--token', 'cgt_wrong'), 2, [/--token: .*unknown, spent or expired/, /fix: /]);
    await expectRefusal(agent('--token', 'cgt_wrong', '--url', NOBODY), 3, [/--url: no grid answers/, /fix: /]);
    await expectRefusal(agent('--slots', 'many'), 2, [/--slots/, /fix: /]);
    await expectRefusal(agent('--log', 'loud'), 2, [/--log/, /fix: one of debug/]);
    const token = await newToken(grid);
    await expectRefusal(agent('--token', token, '--models', file('none.gguf')), 2, [/--models: .*none\.gguf/, /fix: /]);
    const device = await grid.client.devices();
    expect(device.map((one) => one.name)).toEqual(['only']);
  });

  it('a coordinator that cannot start says which setting it is, and leaves no folder', async () => {
    const up = (...args: string[]): string[] => ['up', '--no-ui', '--data', file('data'), '--port', '0', ...args];
    await expectRefusal(up('--port', 'seven'), 2, [/--port/, /fix: give a number from 0 to 65535/]);
    await expectRefusal(up('--log', 'loud'), 2, [/--log/, /fix: one of debug/]);
    await expectRefusal(up('--listen', '203.0.113.7'), 2, [/--listen: /, /fix: give 127\.0\.0\.1/]);
    await expectRefusal(up(), 2, [/DATABASE_URL: /, /fix: /], { DATABASE_URL: 'mysql://here/there' });
    await expectRefusal(up(), 3, [/DATABASE_URL: No connection to PostgreSQL at 127\.0\.0\.1:1/, /fix: /], {
      DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/none',
    });
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    await expectRefusal(up('--port', String(port)), 2, [new RegExp(`--port: port ${port} .* is taken`), /fix: choose another/]);
    taken.close();
  });

  it('a coordinator with this machine’s agent ends when it is told to, and takes the agent along', async () => {
    const child = spawn(
      process.execPath,
      [
        path.join(ROOT, 'bin', 'corpgrid.ts'),
        'up',
        '--no-ui',
        '--with-agent',
        '--json',
        '--data',
        file('data'),
        '--port',
        '0',
        '--log',
        'info',
      ],
      {
        cwd: desk,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => void (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => void (said += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await waitUntil('its agent has a session', () => said.includes('session opened'), 60_000);
    child.kill('SIGTERM');
    // 'close' comes when the last process that holds the pipes is gone: the agent inherited them.
    expect(await ended).toBe(0);
    expect(said).not.toMatch(/"level":"error"/);
  });

  it('sweeps the objects that nobody wants, for administrators only', async () => {
    await upload(grid.client, Buffer.from('wanted just now'));
    const before = await kept();
    const nothing = { objects: 0, bytes: 0, checkpoints: 0 };
    const dry = await run(['objects', 'sweep', '--dry-run', '--json']);
    expect([dry.code, JSON.parse(dry.stdout)]).toEqual([0, { dryRun: true, ...nothing, uploads: 0, adopted: 0 }]);
    const swept = await run(['objects', 'sweep', '--json']);
    expect([swept.code, JSON.parse(swept.stdout)]).toEqual([0, { dryRun: false, ...nothing, uploads: 0, adopted: 0 }]);
    expect((await run(['objects', 'sweep'])).stdout).toMatch(/^deleted 0 objects \(0\.0 MiB\) and 0 checkpoints of jobs that are over\n/);
    expect(await kept()).toEqual(before);
    const { key } = (await grid.client.post('/api/keys', { name: 'ann', tenant: 'physics' })) as { key: string };
    await expectRefusal(['objects', 'sweep'], 2, [/./], { CORPGRID_KEY: key });
  });

  it('looks after itself: the doctor finds a running grid in order, and says with its exit code when something is not', async () => {
    const data = path.join(grid.folder, 'data');
    const where = ['--data', data, '--state', file('state'), '--port', new URL(grid.url).port];
    const well = await run(['doctor', '--json', ...where]);
    const report = JSON.parse(well.stdout) as { fail: number; findings: { check: string; state: string; detail: string }[] };
    expect([well.code, report.findings.filter(({ state }) => state === 'fail')]).toEqual([0, []]);
    const details = Object.fromEntries(report.findings.map(({ check, detail }) => [check, detail]));
    expect(details).toMatchObject({
      database: expect.stringMatching(/PostgreSQL 1\d.* answers/) as string,
      'database clock': 'agrees with the database',
      'grid clock': 'agrees with the grid',
      'grid key': expect.stringContaining(grid.gridKey) as string,
      port: expect.stringContaining('a coordinator runs at') as string,
    });
    const ill = await run(['doctor', ...where], { REDIS_URL: 'redis://127.0.0.1:1' });
    expect(ill).toMatchObject({ code: 1, stdout: expect.stringMatching(/^fail {2}redis .*\n +fix: .*REDIS_URL/m) as string });
    expect((await run(['doctor', '--port', 'x'])).code).toBe(2);
  });

  it('shows a result of quorum 1 as unverified, in words and for programs', async () => {
    const submission = await wordCount(grid.client, ['so many words'], 1);
    await grid.client.submit(submission);
    await waitUntil('the job is done', async () => (await grid.client.job(submission.id)).state === 'done', 60_000);
    expect(await run(['jobs', submission.id])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('unverified: nobody checked the results'),
    });
    const logs = await run(['logs', submission.id]);
    expect(logs).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\S+Z {2}shard 0 {2}only {2}leased\n(.*\n)*\S+Z {2}shard 0 {2}only {2}voted\n/),
    });
    const logged = JSON.parse((await run(['logs', submission.id, '--shard', '0', '--json'])).stdout) as { event: string }[];
    expect(logged.map(({ event }) => event)).toEqual(['voted', 'leased']);
    expect((await run(['logs', submission.id, '--trouble'])).stdout).toBe('nothing went wrong so far\n');
    expect((await run(['logs', randomUUID()])).code).toBe(2);
    const { stdout } = await run(['jobs', submission.id, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ id: submission.id, verified: false });
    await run(['results', submission.id, '--out', file('out')]);
    const verified = await run(['verify', path.join(file('out'), 'receipts.json'), '--grid-key', grid.gridKey]);
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('warning: unverified') });
  });
});
