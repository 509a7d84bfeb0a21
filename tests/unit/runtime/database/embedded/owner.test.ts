import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { claimFolder } from '#runtime/database/embedded/owner.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder('owner');
});

describe('the owner of a folder', () => {
  const file = (): string => path.join(folder, 'pg18.owner');

  it('is one at a time, and the file goes with him', async () => {
    const release = await claimFolder(file(), folder);
    await expect(claimFolder(file(), folder)).rejects.toMatchObject({
      code: 'DATABASE',
      message: expect.stringContaining('by this process already'),
    });
    await release();
    expect(await readdir(folder)).toEqual([]);
    await (
      await claimFolder(file(), folder)
    )();
  });

  it('is refused while another living process owns it', async () => {
    await writeFile(file(), JSON.stringify({ pid: process.ppid, startedAt: null }));
    await expect(claimFolder(file(), folder)).rejects.toMatchObject({
      message: expect.stringContaining(`another process (${process.ppid})`),
    });
    expect(JSON.parse(await readFile(file(), 'utf8'))).toMatchObject({ pid: process.ppid });
  });

  it.each([
    ['has died', { pid: 2 ** 30, startedAt: null }],
    ['has written nonsense', 'nonsense'],
  ])('counts for nothing when he %s', async (_, owner) => {
    await writeFile(file(), JSON.stringify(owner));
    const release = await claimFolder(file(), folder);
    expect(JSON.parse(await readFile(file(), 'utf8'))).toMatchObject({ pid: process.pid });
    await release();
  });

  it.runIf(process.platform === 'linux')('counts for nothing when his pid belongs to a later process', async () => {
    await writeFile(file(), JSON.stringify({ pid: process.ppid, startedAt: '1' }));
    await (
      await claimFolder(file(), folder)
    )();
  });

  it('leaves the file of a successor alone', async () => {
    const release = await claimFolder(file(), folder);
    await writeFile(file(), 'a successor');
    await release();
    expect(await readFile(file(), 'utf8')).toBe('a successor');
  });
});
