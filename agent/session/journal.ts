import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { pack, unpack } from 'msgpackr';

import { VoteMessage } from '#actors/contract/agent-link.ts';
import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { Clock } from '#runtime/kernel/host.ts';
import type { Log } from '#runtime/observe/log.ts';

import { syncFolder } from './durable-file.ts';

/**
 * Votes that the grid has not settled yet, one file each: a vote is on disk before it is sent, and leaves when the grid
 * says that it is durable (or refused for good). So neither a crash here nor one over there loses finished work.
 *
 * A machine that is offline keeps them for a day, and no more than its grid would hear of: what is older is of no use to anybody, for
 * its shard was given to others long ago, and the oldest go first when there are too many.
 */
export interface Journal {
  add(vote: VoteMessage): Promise<void>;
  settle(fence: Fence): Promise<void>;
  /** Unsettled votes, oldest lease first. */
  pending(): VoteMessage[];
}

export interface JournalOptions {
  readonly clock: Pick<Clock, 'wall'>;
  /** Bytes of outputs that votes may hold in all. */
  readonly mostBytes?: number;
  /** Votes; the grid hears of 100,000 attempts at most. */
  readonly mostVotes?: number;
}

interface Kept {
  readonly vote: VoteMessage;
  /** Wall clock, ms: when it was first written. */
  readonly at: number;
  readonly bytes: number;
}

const SUFFIX = '.vote';
export const KEEP_MS = 24 * 3_600_000;
const MOST_BYTES = 512 * 1_048_576;
const MOST_VOTES = 50_000;

export async function openJournal(
  stateFolder: string,
  log: Log,
  { clock, mostBytes = MOST_BYTES, mostVotes = MOST_VOTES }: JournalOptions,
): Promise<Journal> {
  const folder = path.join(stateFolder, 'votes');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  /** Oldest first. */
  const kept = new Map<string, Kept>();
  let held = 0;

  function keep(vote: VoteMessage, at: number): void {
    const key = fenceText(vote.fence);
    forget(key);
    const bytes = vote.bytes?.length ?? 0;
    kept.set(key, { vote, at, bytes });
    held += bytes;
  }

  function forget(key: string): void {
    held -= kept.get(key)?.bytes ?? 0;
    kept.delete(key);
  }

  async function drop(key: string, why: string): Promise<void> {
    log.warn({ fence: key }, why);
    forget(key);
    await rm(path.join(folder, `${key}${SUFFIX}`), { force: true });
  }

  /** The oldest go first. */
  async function makeRoom(votes: number, bytes: number): Promise<void> {
    for (const [key, { at }] of kept) {
      if (clock.wall() - at > KEEP_MS) await drop(key, 'a vote that nobody took for a day dropped');
      else if (kept.size + votes > mostVotes || held + bytes > mostBytes) await drop(key, 'too many unsettled votes: the oldest dropped');
      else return;
    }
  }

  const found: Omit<Kept, 'bytes'>[] = [];
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name);
    if (!name.endsWith(SUFFIX)) continue;
    try {
      const { at, ...rest } = unpack(await readFile(file)) as { at?: unknown };
      // Those of an older version say no time: their day begins now.
      const vote = VoteMessage.parse(rest);
      found.push({ vote, at: typeof at === 'number' ? at : clock.wall() });
    } catch (error) {
      // A file that a crash cut short was never sent: the attempt expires and runs again elsewhere.
      log.warn({ file: name, error }, 'unreadable vote dropped');
      await rm(file, { force: true });
    }
  }
  for (const { vote, at } of found.sort((a, b) => a.at - b.at || a.vote.fence.seq - b.vote.fence.seq)) keep(vote, at);
  await makeRoom(0, 0);

  return {
    async add(vote) {
      const at = clock.wall();
      await makeRoom(1, vote.bytes?.length ?? 0);
      const file = await open(path.join(folder, `${fenceText(vote.fence)}${SUFFIX}`), 'w', 0o600);
      try {
        await file.writeFile(pack({ ...vote, at }));
        await file.sync();
      } finally {
        await file.close();
      }
      await syncFolder(folder);
      keep(vote, at);
    },
    async settle(fence) {
      const key = fenceText(fence);
      forget(key);
      await rm(path.join(folder, `${key}${SUFFIX}`), { force: true });
    },
    pending() {
      // What has aged since is left where it is until there is time to remove it: it is not sent any more.
      const now = clock.wall();
      return [...kept.values()]
        .filter(({ at }) => now - at <= KEEP_MS)
        .map(({ vote }) => vote)
        .sort((a, b) => a.fence.seq - b.fence.seq);
    },
  };
}
