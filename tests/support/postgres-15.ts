import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { choosePort } from '#runtime/database/embedded/free-port.ts';
import { chooseRunAs } from '#runtime/database/embedded/run-as.ts';
import { runProgram, serverEnvironment } from '#runtime/database/embedded/run-program.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { realHost } from '#runtime/host.ts';

import { waitUntil } from './wait-until.ts';

const BIN = '/usr/lib/postgresql/15/bin';

/** The system's PostgreSQL 15, the oldest that is supported, on a cluster and a port of its own. */
export interface Postgres15 {
  readonly url: string;
  end(): Promise<void>;
}

export async function startPostgres15(): Promise<Postgres15> {
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-pg15-'));
  const data = path.join(folder, 'data');
  const runAs = await chooseRunAs();
  const port = await choosePort(realHost(), null);
  const password = crypto.randomUUID();
  const passwordFile = path.join(folder, 'password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  const initdb = [
    ...runAs.prefix,
    `${BIN}/initdb`,
    '-D',
    data,
    '-U',
    'grid',
    '-A',
    'scram-sha-256',
    `--pwfile=${passwordFile}`,
    '-E',
    'UTF8',
    '--no-locale',
  ];
  const made = await runProgram(initdb, runAs.ids);
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const log = openSync(path.join(folder, 'log'), 'a');
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`, 'max_connections=60'];
  const [command = '', ...args] = [...runAs.prefix, `${BIN}/postgres`, '-D', data, ...settings.flatMap((setting) => ['-c', setting])];
  const child = spawn(command, args, { stdio: ['ignore', log, log], env: serverEnvironment(), ...runAs.ids });
  closeSync(log);
  const ended = once(child, 'exit');
  const url = `postgres://grid:${password}@127.0.0.1:${port}/postgres`;

  async function end(): Promise<void> {
    // Immediate: nobody needs these data again.
    child.kill('SIGQUIT');
    await ended;
    await rm(folder, { recursive: true });
  }

  try {
    await waitUntil('PostgreSQL 15 answers', async () => {
      if (child.exitCode !== null) throw new Error(await readFile(path.join(folder, 'log'), 'utf8'));
      return connectSql(url, 1_000).then(
        async (client) => {
          await client.close();
          return true;
        },
        () => false,
      );
    });
  } catch (error) {
    await end();
    throw error;
  }
  return { url, end };
}
