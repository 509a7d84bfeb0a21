import { realpath } from 'node:fs/promises';
import { GridError } from '#runtime/errors.ts';
import { connectSql, type SqlClient } from '../sql-client.ts';
import type { Cluster } from './cluster.ts';
import { DATABASE, ROLE } from './cluster-folder.ts';

/** What it takes to recognise a cluster's server. */
export type KnownCluster = Pick<Cluster, 'folder' | 'data' | 'password' | 'memory'>;

const CONNECT_MS = 5_000;

export function serverUrl(cluster: KnownCluster, port: number): string {
  return `postgres://${ROLE}:${cluster.password}@127.0.0.1:${port}/${DATABASE}`;
}

/**
 * Connects to the server on a port and proves that it is this cluster's: it accepts the password, carries the cluster's
 * random token as its name, and works in the cluster's folder. A port that answers proves nothing.
 * @throws GridError DATABASE when another server answers; the driver's error when none does
 */
export async function connectToOwn(cluster: KnownCluster, port: number): Promise<SqlClient> {
  let client: SqlClient;
  try {
    client = await connectSql(serverUrl(cluster, port), CONNECT_MS);
  } catch (error) {
    throw isPasswordRefusal(error) ? passwordRefused(cluster, port, error) : error;
  }
  try {
    const [found] = await client.query<{ token: string; folder: string }>(
      "select current_setting('cluster_name') as token, current_setting('data_directory') as folder",
    );
    const same = found?.token === cluster.memory.token && (await resolved(found.folder)) === (await resolved(cluster.data));
    if (!same) throw foreign(cluster, port);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

async function resolved(folder: string): Promise<string> {
  return realpath(folder).catch(() => folder);
}

function isPasswordRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '28P01' || error.code === '28000');
}

function passwordRefused(cluster: KnownCluster, port: number, cause: unknown): GridError {
  return new GridError('DATABASE', `The PostgreSQL on 127.0.0.1:${port} does not accept the password in ${cluster.folder.secret}.`, {
    path: cluster.folder.secret,
    fix: 'Put the right file back, or move the folder of the database away to begin with an empty one.',
    cause,
  });
}

function foreign(cluster: KnownCluster, port: number): GridError {
  return new GridError('DATABASE', `The PostgreSQL on 127.0.0.1:${port} is not the one of ${cluster.data}.`, {
    path: cluster.data,
    fix: 'Stop the other server, or use another data folder.',
  });
}
