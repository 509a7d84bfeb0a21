import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { VoteMessage } from '#actors/contract/agent-link.ts';
import { openEpochs } from '#agent/session/epochs.ts';
import { KEEP_MS, openJournal } from '#agent/session/journal.ts';
import { openStateFolder } from '#agent/session/state-folder.ts';
import { GridError } from '#runtime/errors.ts';
import type { Log } from '#runtime/observe/log.ts';

let folder: string;
const warnings: string[] = [];
let now = 1_000_000;
const clock = { wall: (): number => now };
const log: Log = { debug: () => {}, info: () => {}, warn: (_fields, text) => void warnings.push(text), error: () => {}, child: () => log };

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-agent-'));
  warnings.length = 0;
});
afterEach(() => rm(folder, { recursive: true }));

function vote(seq: number): VoteMessage {
  return {
    type: 'vote',
    fence: { epoch: 1, seq },
    job: '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90',
    shard: 0,
    output: { sha256: 'a'.repeat(64), size: 3 },
    bytes: Uint8Array.from([1, 2, 3]),
    seconds: 0.5,
    signature: 'b'.repeat(128),
  };
}

describe('the journal of votes', () => {
  it('gives unsettled votes back after a restart, oldest lease first', async () => {
    const first = await openJournal(folder, log, { clock });
    for (const seq of [2, 1, 3]) await first.add(vote(seq));
    await first.settle({ epoch: 1, seq: 2 });
    const second = await openJournal(folder, log, { clock });
    // Read back as a Buffer, which is equal as bytes and not as an object.
    const pending = second.pending().map((v) => ({ ...v, bytes: Uint8Array.from(v.bytes ?? []) }));
    expect(pending).toEqual([vote(1), vote(3)]);
  });

  it('drops a file that a crash cut short, says so, and removes it', async () => {
    const journal = await openJournal(folder, log, { clock });
    await journal.add(vote(1));
    await writeFile(path.join(folder, 'votes', '1.9.vote'), 'half a vo');
    const again = await openJournal(folder, log, { clock });
    expect(again.pending()).toHaveLength(1);
    expect(warnings).toEqual(['unreadable vote dropped']);
    expect(await readdir(path.join(folder, 'votes'))).toEqual(['1.1.vote']);
  });

  it('keeps votes for a day without the grid, also over a restart, and no longer', async () => {
    const first = await openJournal(folder, log, { clock });
    await first.add(vote(1));
    now += KEEP_MS / 2;
    await first.add(vote(2));
    now += KEEP_MS / 2;
    const second = await openJournal(folder, log, { clock });
    expect(second.pending().map((v) => v.fence.seq)).toEqual([1, 2]);
    now += 1;
    expect(second.pending().map((v) => v.fence.seq)).toEqual([2]);
    await second.add(vote(3));
    expect(warnings).toEqual(['a vote that nobody took for a day dropped']);
    expect((await readdir(path.join(folder, 'votes'))).sort()).toEqual(['1.2.vote', '1.3.vote']);
    now += KEEP_MS;
    expect((await openJournal(folder, log, { clock })).pending().map((v) => v.fence.seq)).toEqual([3]);
  });

  it('is bounded: the oldest go when there are too many, or when they hold too much', async () => {
    const few = await openJournal(folder, log, { clock, mostVotes: 2 });
    for (const seq of [1, 2, 3]) await few.add(vote(seq));
    expect(few.pending().map((v) => v.fence.seq)).toEqual([2, 3]);
    const small = await openJournal(folder, log, { clock, mostBytes: 6 });
    expect(small.pending()).toHaveLength(2);
    await small.add(vote(3));
    await small.add(vote(4));
    expect(small.pending().map((v) => v.fence.seq)).toEqual([3, 4]);
    expect((await readdir(path.join(folder, 'votes'))).sort()).toEqual(['1.3.vote', '1.4.vote']);
  });

  it('settles what it never had without complaint', async () => {
    const journal = await openJournal(folder, log, { clock });
    await expect(journal.settle({ epoch: 9, seq: 9 })).resolves.toBeUndefined();
  });
});

describe('the highest epochs seen', () => {
  it('admits equal and higher ones, refuses lower ones, and remembers over a restart', async () => {
    const first = await openEpochs(folder);
    expect(await first.admit(3, 10)).toBe(true);
    expect(await first.admit(3, 10)).toBe(true);
    expect(await first.admit(3, 9)).toBe(false);
    expect(await first.admit(4, 1)).toBe(true);
    const second = await openEpochs(folder);
    expect(await second.admit(3, 9)).toBe(false);
    expect(second.all()).toEqual({ 3: 10, 4: 1 });
  });

  it('writes every partition when many rise at once', async () => {
    const first = await openEpochs(folder);
    await Promise.all(Array.from({ length: 20 }, (_, partition) => first.admit(partition, 5)));
    const second = await openEpochs(folder);
    expect(Object.keys(second.all())).toHaveLength(20);
  });
});

describe('the state folder', () => {
  it('belongs to one agent at a time', async () => {
    const held = await openStateFolder(folder);
    // This process holds it; pretend that another living one does.
    await writeFile(path.join(folder, 'agent.lock'), String(process.ppid));
    await expect(openStateFolder(folder)).rejects.toThrow(GridError);
    await held.release();
    const again = await openStateFolder(folder);
    await again.release();
  });

  it('takes the folder over from an agent that died', async () => {
    await writeFile(path.join(folder, 'agent.lock'), '999999999');
    const taken = await openStateFolder(folder);
    await taken.release();
    expect(await readdir(folder)).not.toContain('agent.lock');
  });

  it('empties the work of attempts that died with their agent', async () => {
    const first = await openStateFolder(folder);
    await writeFile(path.join(first.work, 'leftover'), 'x');
    await first.release();
    const second = await openStateFolder(folder);
    expect(await readdir(second.work)).toEqual([]);
    await second.release();
  });
});
