import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished } from 'vitest';

/** A folder that only its owner may enter, for the running test; it goes, with all that is in it, when the test ends. */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), `corpgrid-${name}-`)));
  onTestFinished(async () => {
    await rm(folder, { recursive: true });
    expect(existsSync(folder)).toBe(false);
  });
  return folder;
}
