import { clusterFolder } from './cluster-folder.ts';
import { readIfPresent, recallCluster } from './cluster-memory.ts';
import { connectToOwn, serverUrl } from './identity.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isAlive } from './processes.ts';

/**
 * The address of a data folder's server that another process runs at this moment, for tools that look in from the side.
 * Null when none runs. The caller owns nothing: the server may stop at any time.
 * @throws GridError DATABASE when what answers is not this folder's server
 */
export async function runningUrl(dataFolder: string): Promise<string | null> {
  const folder = clusterFolder(dataFolder);
  const memory = await recallCluster(folder.memory);
  const password = (await readIfPresent(folder.secret))?.trim();
  if (memory === null || password === undefined) return null;
  const known = { folder, memory, password, data: memory.place ?? folder.data };
  const lock = await readPostmasterPid(known.data);
  if (lock === null || lock.port === null || !isAlive(lock.pid)) return null;
  await (await connectToOwn(known, lock.port)).close();
  return serverUrl(known, lock.port);
}
