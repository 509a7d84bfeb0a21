import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { completeLinks } from '#runtime/database/embedded/binaries.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder('binaries');
});

describe('the links of the package', () => {
  it('are made where they are missing, and never twice', async () => {
    await mkdir(path.join(folder, 'native/lib'), { recursive: true });
    await writeFile(path.join(folder, 'native/lib/libx.so.1.2'), 'x');
    const links = ['native/lib/libx.so', 'native/lib/libx.so.1'].map((target) => ({ source: 'native/lib/libx.so.1.2', target }));
    await writeFile(path.join(folder, 'native/pg-symlinks.json'), JSON.stringify(links));
    await symlink('libx.so.1.2', path.join(folder, 'native/lib/libx.so'));
    expect(await completeLinks(folder)).toBe(1);
    expect(await readFile(path.join(folder, 'native/lib/libx.so.1'), 'utf8')).toBe('x');
    expect(await completeLinks(folder)).toBe(0);
  });

  it('are none where the package lists none', async () => {
    expect(await completeLinks(folder)).toBe(0);
  });
});
