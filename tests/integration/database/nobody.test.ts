import { chmod, cp, mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { binariesIn, findBinaries } from '#runtime/database/embedded/binaries.ts';
import { clusterFolder } from '#runtime/database/embedded/cluster-folder.ts';
import { recallCluster } from '#runtime/database/embedded/cluster-memory.ts';
import { type EmbeddedOptions, startEmbedded } from '#runtime/database/embedded/embedded-server.ts';
import { postgresIn } from '#runtime/database/embedded/processes.ts';
import { chooseRunAs, NOBODY, waysHere } from '#runtime/database/embedded/run-as.ts';
import { realHost } from '#runtime/host.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

/** The ladder matters to root only: everybody else runs the server as himself. */
const root = process.platform === 'linux' && process.getuid?.() === 0;

async function run(options: Pick<EmbeddedOptions, 'dataFolder' | 'ways' | 'shelter' | 'binaries'>, statement: string) {
  const server = await startEmbedded({ ...options, log: logRecord(), host: realHost() });
  onTestFinished(() => server.stop());
  const client = await server.connect();
  const rows = await client.query(statement);
  const [where] = await client.query<{ folder: string }>("select current_setting('data_directory') as folder");
  await client.close();
  // A backend may end between the list and the look at it.
  const stats = await Promise.allSettled((await postgresIn(where?.folder ?? '')).map((pid) => stat(`/proc/${pid}`)));
  const owners = stats.flatMap((each) => (each.status === 'fulfilled' ? [each.value.uid] : []));
  await server.stop();
  expect(await postgresIn(where?.folder ?? '')).toEqual([]);
  return { rows, folder: where?.folder ?? '', owners: [...new Set(owners)] };
}

describe.runIf(root)('root', () => {
  it('has a way here', async () => {
    expect(waysHere()).toEqual(['namespace', 'nobody']);
    expect(['namespace', 'nobody']).toContain((await chooseRunAs()).way);
  });

  it('without any way gets a clear error that names DATABASE_URL', async () => {
    await expect(chooseRunAs([])).rejects.toMatchObject({ code: 'DATABASE', fix: expect.stringContaining('DATABASE_URL') });
  });

  it('as nobody, in a folder that nobody may enter: the data stay there, and are nobody’s', async () => {
    const dataFolder = await temporaryFolder('open');
    await chmod(dataFolder, 0o755);
    const shelter = path.join(dataFolder, 'shelter');
    const made = await run({ dataFolder, ways: ['nobody'], shelter }, 'select 1 as one');
    expect(made).toMatchObject({ rows: [{ one: 1 }], folder: path.join(dataFolder, 'pg18'), owners: [NOBODY] });
    expect((await stat(path.join(dataFolder, 'pg18', 'PG_VERSION'))).uid).toBe(NOBODY);
    expect((await stat(path.join(dataFolder, 'pg18.secret'))).uid).toBe(0);
  });

  it('as nobody, below a folder that only root may enter: programs and data move to the shelter, with what they hold', async () => {
    const outside = await temporaryFolder('shelter');
    await chmod(outside, 0o755);
    const shelter = path.join(outside, 'shelter');
    const closed = await temporaryFolder('closed');
    const dataFolder = path.join(closed, 'data');
    await mkdir(path.join(closed, 'package'));
    await cp((await findBinaries()).root, path.join(closed, 'package'), { recursive: true, verbatimSymlinks: true });
    const binaries = binariesIn(path.join(closed, 'package'));

    const before = await run({ dataFolder, ways: ['namespace'], shelter, binaries }, 'create table kept as select 5 as value');
    expect(before).toMatchObject({ folder: path.join(dataFolder, 'pg18'), owners: [0] });

    const moved = await run({ dataFolder, ways: ['nobody'], shelter, binaries }, 'select value from kept');
    expect(moved).toMatchObject({ rows: [{ value: 5 }], owners: [NOBODY] });
    expect(moved.folder.startsWith(`${shelter}/data-`)).toBe(true);
    expect((await recallCluster(clusterFolder(dataFolder).memory))?.place).toBe(moved.folder);
    await expect(stat(path.join(dataFolder, 'pg18'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await stat(moved.folder)).mode & 0o777, 'nobody else may read it').toBe(0o700);

    const again = await run({ dataFolder, ways: ['nobody'], shelter, binaries }, 'select value from kept');
    expect(again).toEqual(moved);
    const back = await run({ dataFolder, ways: ['namespace'], shelter, binaries }, 'select value from kept');
    expect(back, 'the place is kept when a better way is open again').toMatchObject({
      rows: [{ value: 5 }],
      folder: moved.folder,
      owners: [0],
    });
  });

  it('as nobody, a first start below a closed folder goes to the shelter at once', async () => {
    const outside = await temporaryFolder('shelter');
    await chmod(outside, 0o755);
    const closed = await temporaryFolder('closed');
    const made = await run({ dataFolder: closed, ways: ['nobody'], shelter: path.join(outside, 'shelter') }, 'select 1 as one');
    expect(made).toMatchObject({ rows: [{ one: 1 }], owners: [NOBODY] });
    expect(made.folder.startsWith(outside)).toBe(true);
    expect(await readFile(path.join(made.folder, 'PG_VERSION'), 'utf8')).toBe('18\n');
  });
});
