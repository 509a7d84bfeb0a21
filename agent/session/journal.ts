import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { pack, unpack } from 'msgpackr';

import { VoteMessage } from '#actors/contract/agent-link.ts';
import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { Log } from '#runtime/observe/log.ts';

import { syncFolder } from './durable-file.ts';

/**
 * Votes that the grid has not settled yet, one file each: a vote is on disk before it is sent, and leaves when the grid
 * says that it is durable (or refused for good). So neither a crash here nor one over there loses finished work.
 */
export interface Journal {
  add(vote: VoteMessage): Promise<void>;
  settle(fence: Fence): Promise<void>;
  /** Unsettled votes, oldest lease first. */
  pending(): VoteMessage[];
}

const SUFFIX = '.vote';

export async function openJournal(stateFolder: string, log: Log): Promise<Journal> {
  const folder = path.join(stateFolder, 'votes');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const votes = new Map<string, VoteMessage>();

  for (const name of await readdir(folder)) {
    const file = path.join(folder, name);
    if (!name.endsWith(SUFFIX)) continue;
    try {
      const vote = VoteMessage.parse(unpack(await readFile(file)));
      votes.set(fenceText(vote.fence), vote);
    } catch (error) {
      // A file that a crash cut short was never sent: the attempt expires and runs again elsewhere.
      log.warn({ file: name, error }, 'unreadable vote dropped');
      await rm(file, { force: true });
    }
  }

  function fileOf(fence: Fence): string {
    return path.join(folder, `${fenceText(fence)}${SUFFIX}`);
  }

  return {
    async add(vote) {
      const file = await open(fileOf(vote.fence), 'w', 0o600);
      try {
        await file.writeFile(pack(vote));
        await file.sync();
      } finally {
        await file.close();
      }
      await syncFolder(folder);
      votes.set(fenceText(vote.fence), vote);
    },
    async settle(fence) {
      votes.delete(fenceText(fence));
      await rm(fileOf(fence), { force: true });
    },
    pending() {
      return [...votes.values()].sort((a, b) => a.fence.seq - b.fence.seq);
    },
  };
}
