import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { GridError } from '#runtime/errors.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { type ClusterFolder, MAJOR, ROLE } from './cluster-folder.ts';
import { type ClusterMemory, newMemory, readIfPresent, recallCluster, rememberCluster } from './cluster-memory.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isAlive, isPostgresIn } from './processes.ts';
import { chooseRunAs, fileOwner, NOBODY, type RunAs, type Way } from './run-as.ts';
import { runProgram } from './run-program.ts';
import { copyCluster, giveTo, mayEnter, SHELTER, shelterBinaries, shelteredPlace } from './shelter.ts';

/** A cluster that is ready to be served. */
export interface Cluster {
  readonly folder: ClusterFolder;
  readonly binaries: Binaries;
  readonly runAs: RunAs;
  /** Where its files are: `folder.data`, or a place in the shelter. */
  readonly data: string;
  readonly password: string;
  readonly memory: ClusterMemory;
}

/** What a test may choose differently. */
export interface ClusterOptions {
  readonly ways?: readonly Way[];
  readonly shelter?: string;
  readonly binaries?: Binaries;
}

/**
 * Finds the cluster of a data folder, or makes one.
 *
 * A cluster is made under another name and renamed when it is complete, so a start that is interrupted leaves nothing that
 * looks like one. No server may run in it: the caller owns the folder, and has ended or adopted what ran there.
 * @throws GridError DATABASE when the files are another version's, the password is lost, or initdb fails
 */
export async function prepareCluster(folder: ClusterFolder, options: ClusterOptions = {}): Promise<Cluster> {
  const shelter = options.shelter ?? SHELTER;
  const runAs = await chooseRunAs(options.ways);
  const original = options.binaries ?? (await findBinaries());
  const binaries = runAs.way === 'nobody' ? await shelterBinaries(original, shelter) : original;
  const recalled = await recallCluster(folder.memory);
  const before = recalled ?? newMemory();
  const memory = { ...before, place: await placeOf(folder, before, runAs, shelter) };
  const data = memory.place ?? folder.data;
  const moving = memory.place !== null && before.place === null && existsSync(folder.data);

  if (moving) {
    await refuseRunning(folder.data);
    await refuseOtherVersion(folder.data);
    await copyCluster(folder.data, data);
  }
  const made = !existsSync(data);
  if (made) await makeCluster({ binaries, runAs, data, secret: folder.secret });
  await refuseOtherVersion(data);
  await takeOwnership(data, runAs);
  if (moving) await syncFiles(binaries, runAs, data);
  // Only now: until the memory names the new place, the old one is the truth.
  if (recalled === null || recalled.place !== memory.place) await rememberCluster(folder.memory, memory);
  if (moving) await rm(folder.data, { recursive: true, force: true });
  return { folder, binaries, runAs, data, password: await readSecret(folder.secret), memory };
}

async function placeOf(folder: ClusterFolder, memory: ClusterMemory, runAs: RunAs, shelter: string): Promise<string | null> {
  if (memory.place !== null || runAs.way !== 'nobody' || (await mayEnter(folder.root, NOBODY))) return memory.place;
  return shelteredPlace(folder.data, shelter);
}

interface NewCluster {
  readonly binaries: Binaries;
  readonly runAs: RunAs;
  readonly data: string;
  readonly secret: string;
}

async function makeCluster({ binaries, runAs, data, secret }: NewCluster): Promise<void> {
  const draft = `${data}.new`;
  const passwordFile = `${data}.password`;
  const password = randomBytes(24).toString('hex');
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  try {
    await writeFile(passwordFile, password, { mode: 0o600 });
    const { uid, gid } = runAs.ids;
    if (uid !== undefined && gid !== undefined) {
      await chown(draft, uid, gid);
      await chown(passwordFile, uid, gid);
    }
    const settings = ['-U', ROLE, '-A', 'scram-sha-256', '--encoding=UTF8', '--no-locale', `--pwfile=${passwordFile}`];
    const result = await runProgram([...runAs.prefix, binaries.initdb, '-D', draft, ...settings], runAs.ids);
    if (result.status !== 0) {
      throw new GridError('DATABASE', `PostgreSQL could not make its files in ${data}: ${result.stderr.trim() || result.code}`, {
        path: data,
        fix: 'Check that the folder can be written and the disk has 100 MB left, or set DATABASE_URL to a PostgreSQL 15 or newer.',
      });
    }
    await writeFile(secret, password, { mode: 0o600, flush: true });
    await chmod(secret, 0o600);
    await rename(draft, data);
  } finally {
    await rm(passwordFile, { force: true });
    await rm(draft, { recursive: true, force: true });
  }
}

async function refuseOtherVersion(data: string): Promise<void> {
  const isFolder = (await stat(data)).isDirectory();
  const version = isFolder ? (await readIfPresent(path.join(data, 'PG_VERSION')))?.trim() : undefined;
  if (version === MAJOR) return;
  const what = version === undefined ? 'are no PostgreSQL cluster' : `belong to PostgreSQL ${version}`;
  throw new GridError('DATABASE', `The files in ${data} ${what}; this CorpGrid needs those of PostgreSQL ${MAJOR}.`, {
    path: data,
    fix: 'Start the CorpGrid that wrote them to export them, or move the folder away to begin with an empty database.',
  });
}

/** The way to run may have changed since the last time, and a server insists on owning its files. */
async function takeOwnership(data: string, runAs: RunAs): Promise<void> {
  const owner = fileOwner(runAs);
  if (owner === null || process.getuid?.() !== 0 || (await stat(data)).uid === owner) return;
  await refuseRunning(data);
  await giveTo(data, owner, runAs.ids.gid ?? 0);
}

/** Files of a running server change hands or place only after it has ended. */
async function refuseRunning(data: string): Promise<void> {
  const lock = await readPostmasterPid(data);
  if (lock === null || !isAlive(lock.pid) || (await isPostgresIn(lock.pid, data)) === false) return;
  throw new GridError('DATABASE', `A PostgreSQL (process ${lock.pid}) works in ${data} as another user than this start would.`, {
    path: data,
    fix: `End it ("kill -INT ${lock.pid}") and start again.`,
  });
}

async function syncFiles(binaries: Binaries, runAs: RunAs, data: string): Promise<void> {
  const result = await runProgram([...runAs.prefix, binaries.initdb, '--sync-only', '-D', data], runAs.ids);
  if (result.status !== 0)
    throw new GridError('DATABASE', `The moved database could not be written to disk: ${result.stderr.trim()}`, { path: data });
}

async function readSecret(file: string): Promise<string> {
  const secret = (await readIfPresent(file))?.trim();
  if (secret !== undefined && secret !== '') return secret;
  throw new GridError('DATABASE', `The password of the embedded PostgreSQL is missing: ${file}.`, {
    path: file,
    fix: 'Put the file back, or move the folder of the database away to begin with an empty one.',
  });
}
