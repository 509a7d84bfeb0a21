import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';

import { loadOrCreateKey } from '#runtime/identity/keys.ts';

import { fail, ok, warn, type Verdict } from './finding.ts';
import { judgeDisk } from './judgements.ts';

/** Looks at this machine: folders, keys, libraries, ports. Nothing is made, and nothing changed. */

/** The first of the folder and those above it that is there. */
function nearest(folder: string): string {
  let place = path.resolve(folder);
  while (!existsSync(place) && path.dirname(place) !== place) place = path.dirname(place);
  return place;
}

export async function lookAtDisk(folder: string): Promise<Verdict> {
  const place = nearest(folder);
  const { bavail, bsize } = await statfs(place);
  return judgeDisk(place, bavail * bsize);
}

export async function lookAtFolder(folder: string): Promise<Verdict> {
  const place = nearest(folder);
  try {
    await access(place, constants.W_OK | constants.X_OK);
  } catch {
    return fail(`this user may not write to ${place}`, 'name another folder, or let this user write there');
  }
  return ok(place === path.resolve(folder) ? `${place} can be written` : `${path.resolve(folder)} is made at the first start`);
}

/** Reads the key as a start would: the same refusals of files that others can reach. */
export function lookAtKey(folder: string, name: string): Verdict {
  const file = path.join(folder, `${name}.key`);
  if (!existsSync(file)) return ok('none yet; made at the first start');
  return ok(`${file} is this user’s alone; public key ${loadOrCreateKey(folder, name).publicKey}`);
}

const LOADER = path.join(import.meta.dirname, '..', '..', 'agent', 'executors', 'inference', 'load-engine.main.ts');
const LOAD_MS = 30_000;

/** In a process of its own: a native library that does not fit this machine may take its process along. */
export async function lookAtLlama(): Promise<Verdict> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [LOADER], { timeout: LOAD_MS });
    const { gpu } = JSON.parse(stdout) as { gpu: string | false };
    return ok(gpu === false ? 'the engine loads; it computes on the CPU' : `the engine loads; it computes with ${gpu}`);
  } catch {
    const fix = 'run npm ci without leaving out optional packages, or serve models with --llama-server or --upstream; jobs need none of it';
    return warn('the engine for models does not load here', fix);
  }
}

export async function lookAtPort(host: string, port: number): Promise<Verdict> {
  const code = await listenOnce(host, port);
  if (code === null) return ok(`${host}:${port} is free`);
  if (code === 'EACCES') return fail(`this user may not listen on port ${port}`, 'choose one above 1023 with --port');
  if (code !== 'EADDRINUSE') return fail(`${host} is no address of this machine`, 'give 127.0.0.1 or 0.0.0.0 with --listen');
  if (await isGrid(host, port)) return ok(`a coordinator runs at ${host}:${port}`);
  return fail(`${host}:${port} is taken by another program`, 'choose another with --port, or end the program that listens there');
}

function listenOnce(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

async function isGrid(host: string, port: number): Promise<boolean> {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  try {
    const answer = await fetch(`http://${name}:${port}/healthz`, { signal: AbortSignal.timeout(5_000) });
    return ((await answer.json()) as { status?: unknown }).status === 'ok';
  } catch {
    return false;
  }
}
