import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { newMemory, recallCluster, rememberCluster } from '#runtime/database/embedded/cluster-memory.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder('cluster-memory');
});

describe('the memory of a cluster', () => {
  it('comes back as it was written, for the owner’s eyes only', async () => {
    const file = path.join(folder, 'pg18.json');
    const memory = { ...newMemory(), port: 15432, place: '/var/lib/corpgrid/x/pg18' };
    await rememberCluster(file, memory);
    expect(await recallCluster(file)).toEqual(memory);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['pg18.json']);
  });

  it('is null when there is none, and has a token of its own each time', async () => {
    expect(await recallCluster(path.join(folder, 'pg18.json'))).toBeNull();
    expect(newMemory().token).not.toBe(newMemory().token);
  });

  it.each([
    '',
    '{',
    '{}',
    '{"token":"corpgrid-x","port":1,"place":null}',
    '{"token":"corpgrid-00112233445566778899aabbccddeeff","port":0,"place":null}',
  ])('is refused when it reads %j', async (text) => {
    const file = path.join(folder, 'pg18.json');
    await writeFile(file, text);
    await expect(recallCluster(file)).rejects.toMatchObject({ code: 'DATABASE', path: file, fix: expect.stringContaining('Delete it') });
  });
});
