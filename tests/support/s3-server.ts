import { spawn, execFile, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { choosePort } from '#runtime/database/embedded/free-port.ts';
import { realHost } from '#runtime/host.ts';
import type { S3Settings } from '#runtime/objects/s3-settings.ts';

import { waitUntil } from './wait-until.ts';

/**
 * A real S3: Ceph's gateway on one monitor and one storage daemon that keeps everything in memory. About ten seconds to start,
 * most of them spent on making its pools. All of it lives in one folder and in three processes.
 */
export interface S3Server {
  readonly settings: S3Settings;
  /** SIGSTOP and SIGCONT for the gateway. */
  freeze(): void;
  thaw(): void;
  end(): Promise<void>;
}

const run = promisify(execFile);
const KEYS = { accessKeyId: 'grid-test-key', secretAccessKey: 'grid-test-secret' };
const NAMES = ['client.admin', 'client.rgw', 'osd.0'];

export async function startS3(): Promise<S3Server> {
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-s3-'));
  const [monitorPort, port] = [await choosePort(realHost(), null), await choosePort(realHost(), null)];
  const endpoint = `http://127.0.0.1:${port}`;
  const file = (name: string): string => path.join(folder, name);
  const [conf, keyring] = [file('ceph.conf'), file('keyring')];
  const children: ChildProcess[] = [];

  const tool = (command: string, ...args: string[]): Promise<unknown> => run(command, args, { timeout: 60_000 });

  function daemon(command: string, ...args: string[]): void {
    // Into a file: nobody reads a pipe while the tests run.
    const log = openSync(file(`${command}.out`), 'a');
    children.push(spawn(command, ['-c', conf, '-f', ...args], { stdio: ['ignore', log, log] }));
    closeSync(log);
  }

  async function end(): Promise<void> {
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  }

  try {
    for (const name of ['mon', 'osd', 'run']) await mkdir(file(name));
    const fsid = randomUUID();
    await writeFile(conf, configuration(folder, fsid, monitorPort, port));
    await tool('monmaptool', '--create', '--clobber', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${monitorPort}]`, file('monmap'));
    await tool('ceph-authtool', '--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
    const caps = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *'];
    for (const name of NAMES) await tool('ceph-authtool', keyring, '--gen-key', '-n', name, ...caps);
    await tool('ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', file('monmap'), '--keyring', keyring);
    daemon('ceph-mon', '-i', 'a');
    const osd = randomUUID();
    await tool('ceph', '-c', conf, 'osd', 'new', osd);
    await tool('ceph-osd', '-c', conf, '-i', '0', '--mkfs', '--osd-uuid', osd);
    daemon('ceph-osd', '-i', '0');
    daemon('radosgw', '-n', 'client.rgw');
    const { accessKeyId, secretAccessKey } = KEYS;
    const user = ['--uid', 'grid', '--display-name', 'grid', '--access-key', accessKeyId, '--secret-key', secretAccessKey];
    await tool('radosgw-admin', '-c', conf, 'user', 'create', ...user);
    await waitUntil(
      'the gateway answers',
      () =>
        fetch(endpoint).then(
          (answer) => answer.ok,
          () => false,
        ),
      60_000,
    );
  } catch (error) {
    const log = await readFile(file('radosgw.out'), 'utf8').catch(() => '');
    await end();
    throw new Error(`the S3 server did not start:\n${log}`, { cause: error });
  }
  const gateway = children.at(-1);
  return {
    settings: { endpoint, bucket: 'grid', region: 'us-east-1', ...KEYS },
    freeze: () => void gateway?.kill('SIGSTOP'),
    thaw: () => void gateway?.kill('SIGCONT'),
    end,
  };
}

function configuration(folder: string, fsid: string, monitorPort: number, port: number): string {
  return `[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${monitorPort}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = ${folder}/keyring
mon data = ${folder}/mon
osd data = ${folder}/osd
run dir = ${folder}/run
admin socket = ${folder}/run/$name.$pid.asok
log file = ${folder}/run/$name.log
mon cluster log file = ${folder}/run/cluster.log
log to stderr = false
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
auth allow insecure global id reclaim = true
ms bind ipv6 = false
rgw frontends = beast endpoint=127.0.0.1:${port}
rgw data = ${folder}/rgw
`;
}
