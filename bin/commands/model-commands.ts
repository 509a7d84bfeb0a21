import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { Command } from 'commander';

import type { ModelReport, PullReport } from '#actors/contract/models.ts';
import { OBJECT_LIMIT } from '#actors/contract/primitives.ts';
import type { GridClient } from '#bin/client/grid-client.ts';
import { createProgress, say, sayJson, sayTable } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, type GridOptions } from './settings.ts';

const GIB = 1024 ** 3;
const POLL_MS = 500;

interface PullOptions extends GridOptions {
  readonly name?: string;
  readonly sha256?: string;
}

interface LoadOptions extends GridOptions {
  readonly device?: string;
}

export function modelCommands(program: Command): void {
  const models = program.command('models').description('models that the grid serves or could serve');
  withGrid(models.command('list', { isDefault: true }).description('list them, with what they need and where they fit')).action(list);

  withGrid(models.command('pull').argument('<source>', 'hf:OWNER/REPOSITORY/FILE.gguf[@REVISION], an http(s) address or a local file'))
    .description('bring a model file into the grid, once for all devices')
    .option('--name <name>', 'how requests name it (default: the file’s name)')
    .option('--sha256 <hex>', 'refuse a file with another SHA-256')
    .action(pull);

  withGrid(models.command('load').argument('<name>').description('load a model now instead of at its first request'))
    .option('--device <id>', 'on this device (default: the best one)')
    .action(async (name: string, options: LoadOptions) => act(name, 'load', options));

  withGrid(models.command('unload').argument('<name>').description('give its memory back; the next request loads it again'))
    .option('--device <id>', 'only there (default: everywhere)')
    .action(async (name: string, options: LoadOptions) => act(name, 'unload', options));

  withGrid(models.command('rm').argument('<name>').description('delete the grid’s copy of a model file')).action(
    async (name: string, options: GridOptions) => {
      const removed = await clientOf(options).remove(`/api/models/${encodeURIComponent(name)}`);
      if (options.json) sayJson(removed);
      else say(`${name} is deleted; devices keep their copies until they need the room`);
    },
  );
}

async function list(options: GridOptions): Promise<void> {
  const models = (await clientOf(options).get('/api/models')) as ModelReport[];
  if (options.json) return sayJson(models);
  if (models.length === 0)
    return say('no model yet; bring one with `corpgrid models pull SOURCE`, or start an agent with --models FILE.gguf');
  sayModels(models);
}

function sayModels(models: readonly ModelReport[]): void {
  sayTable(
    ['MODEL', 'KIND', 'FILE', 'NEEDS', 'CONTEXT', 'READY', 'FITS ON'],
    models.map((m) => [
      m.name,
      m.facts?.architecture ?? null,
      gib(m.size),
      m.needsBytes === null ? null : gib(m.needsBytes),
      m.facts?.contextLength ?? null,
      `${m.replicas.filter((r) => r.state === 'ready').length} of ${m.replicas.length}`,
      m.stored ? m.fitsOn.join(', ') || 'no connected device' : 'where the file lies',
    ]),
  );
}

function gib(bytes: number): string {
  return bytes < GIB / 10 ? `${(bytes / 1024 ** 2).toFixed(1)} MiB` : `${(bytes / GIB).toFixed(1)} GiB`;
}

async function act(name: string, action: 'load' | 'unload', options: LoadOptions): Promise<void> {
  const body = options.device === undefined ? {} : { device: options.device };
  const model = (await clientOf(options).post(`/api/models/${encodeURIComponent(name)}/${action}`, body)) as ModelReport;
  if (options.json) sayJson(model);
  else sayModels([model]);
}

async function pull(source: string, options: PullOptions): Promise<void> {
  const client = clientOf(options);
  const isRemote = source.startsWith('hf:') || /^https?:/i.test(source);
  const name = isRemote ? await pullRemote(client, source, options) : await addLocal(client, source, options);
  const model = ((await client.get('/api/models')) as ModelReport[]).find((m) => m.name === name);
  if (model === undefined) throw new GridError('NOT_FOUND', `the grid does not list ${name}; somebody deleted it just now`);
  if (options.json) sayJson(model);
  else sayModels([model]);
}

async function pullRemote(client: GridClient, source: string, { name, sha256 }: PullOptions): Promise<string> {
  const body = { source, ...(name === undefined ? {} : { name }), ...(sha256 === undefined ? {} : { sha256 }) };
  let report = (await client.post('/api/models/pull', body)) as PullReport;
  const progress = createProgress();
  try {
    while (report.state === 'downloading' || report.state === 'checking') {
      const of = report.size === null ? '' : ` of ${gib(report.size)} (${Math.floor((100 * report.received) / report.size)} %)`;
      progress.update(report.state === 'checking' ? 'checking every byte' : `downloading ${gib(report.received)}${of}`);
      await delay(POLL_MS);
      report = (await client.get(`/api/models/pulls/${encodeURIComponent(report.id)}`)) as PullReport;
    }
  } finally {
    progress.end();
  }
  if (report.state === 'failed') {
    throw new GridError('MODEL_FAILED', report.reason ?? 'the model could not be pulled', report.fix === null ? {} : { fix: report.fix });
  }
  return report.name;
}

async function addLocal(client: GridClient, file: string, { name: given, sha256: expected }: PullOptions): Promise<string> {
  const there = await stat(file).catch(() => null);
  if (there === null || !there.isFile()) {
    throw new GridError('BAD_REQUEST', `there is no file ${file}`, {
      path: 'source',
      fix: 'give hf:OWNER/REPOSITORY/FILE.gguf, an http(s) address, or a .gguf file of this machine',
    });
  }
  if (there.size > OBJECT_LIMIT) {
    throw new GridError('TOO_LARGE', `an upload has at most ${gib(OBJECT_LIMIT)}, and this file has ${gib(there.size)}`, {
      path: 'source',
      fix: 'serve the file by http in your network and pull its address',
    });
  }
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash);
  const ref = { sha256: hash.digest('hex'), size: there.size };
  if (expected !== undefined && expected !== ref.sha256) {
    throw new GridError('HASH_MISMATCH', `the file's SHA-256 is ${ref.sha256}`, { path: '--sha256' });
  }
  await client.upload(ref, { file });
  const name = given ?? path.basename(file).replace(/\.gguf$/i, '');
  await client.post('/api/models', { name, file: ref });
  return name;
}
