import path from 'node:path';

/**
 * What the embedded server keeps below the grid's data folder:
 *
 * - `pg18/`         the cluster itself (or elsewhere, see `shelter.ts`)
 * - `pg18.new/`     a cluster that initdb has not finished; removed at the next start
 * - `pg18.secret`   the password, readable by the owner only
 * - `pg18.json`     what is remembered between runs: token, port, place
 * - `pg18.owner`    which process runs the server right now
 * - `pg18.log`      the server's log, and `pg18.log.1` the one before
 */
export interface ClusterFolder {
  readonly root: string;
  readonly data: string;
  readonly secret: string;
  readonly memory: string;
  readonly owner: string;
  readonly log: string;
}

/** The major version whose files this program reads and writes. PostgreSQL never opens those of another one. */
export const MAJOR = '18';

/** Name of the only role of the cluster, a superuser, and of its database. */
export const ROLE = 'corpgrid';
export const DATABASE = 'postgres';

export function clusterFolder(dataFolder: string): ClusterFolder {
  const root = path.resolve(dataFolder);
  const below = (suffix: string): string => path.join(root, `pg${MAJOR}${suffix}`);
  return { root, data: below(''), secret: below('.secret'), memory: below('.json'), owner: below('.owner'), log: below('.log') };
}
