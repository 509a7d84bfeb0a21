import { writeSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openServerLog } from '#runtime/database/embedded/server-log.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder('server-log');
});

describe('the server’s log', () => {
  it('is appended to while it is small, and its tail is this run’s', async () => {
    const file = path.join(folder, 'pg18.log');
    await writeFile(file, 'an earlier run\n');
    const log = await openServerLog(file, 100);
    writeSync(log.fd, 'this run\n');
    expect(await log.tail()).toBe('this run');
    await log.close();
    expect(await readFile(file, 'utf8')).toBe('an earlier run\nthis run\n');
  });

  it('makes room when it is large, and keeps one old log', async () => {
    const file = path.join(folder, 'pg18.log');
    await writeFile(`${file}.1`, 'the oldest');
    await writeFile(file, 'x'.repeat(101));
    await (await openServerLog(file, 100)).close();
    expect(await readFile(file, 'utf8')).toBe('');
    expect(await readFile(`${file}.1`, 'utf8')).toBe('x'.repeat(101));
  });

  it('shows a few lines at most', async () => {
    const log = await openServerLog(path.join(folder, 'pg18.log'));
    writeSync(log.fd, Array.from({ length: 50 }, (_, line) => `line ${line}`).join('\n'));
    const tail = await log.tail();
    expect(tail.split('\n')).toHaveLength(8);
    expect(tail.endsWith('line 49')).toBe(true);
    await log.close();
  });
});
