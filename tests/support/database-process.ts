/**
 * A process that runs an embedded database until it is killed: `node database-process.ts <data folder> [bare]`.
 * It prints one line of JSON, `{ "server": <pid>, "url": … }`, when the database is ready. `bare` leaves the server
 * without the guard that ends it together with this process.
 */
import { clusterFolder } from '#runtime/database/embedded/cluster-folder.ts';
import { startEmbedded } from '#runtime/database/embedded/embedded-server.ts';
import { readPostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';
import { realHost } from '#runtime/host.ts';
import { logRecord } from './log-record.ts';

const [, , dataFolder = '', kind] = process.argv;
const server = await startEmbedded({ dataFolder, log: logRecord(), host: realHost(), dieWithParent: kind !== 'bare' });
const lock = await readPostmasterPid(clusterFolder(dataFolder).data);
process.stdout.write(`${JSON.stringify({ server: lock?.pid, url: server.url })}\n`);
