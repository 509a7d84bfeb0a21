import { chmod, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { mayEnter } from '#runtime/database/embedded/shelter.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder('shelter');
});

describe.runIf(process.platform !== 'win32')('mayEnter', () => {
  it('needs the way through every folder above', async () => {
    const inner = path.join(folder, 'a/b');
    await mkdir(inner, { recursive: true });
    await chmod(folder, 0o755);
    expect(await mayEnter(inner, 65_534)).toBe(true);
    await chmod(path.join(folder, 'a'), 0o700);
    expect(await mayEnter(inner, 65_534)).toBe(false);
    await chmod(path.join(folder, 'a'), 0o711);
    expect(await mayEnter(inner, 65_534)).toBe(true);
  });

  it('asks the owner’s bit of the owner', async () => {
    await chmod(folder, 0o701);
    const owner = (await stat(folder)).uid;
    expect(await mayEnter(folder, owner)).toBe(true);
    await chmod(folder, 0o600);
    expect(await mayEnter(folder, owner)).toBe(false);
    await chmod(folder, 0o700);
  });
});
