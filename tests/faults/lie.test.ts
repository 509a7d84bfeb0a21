import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { ShardDetail } from '#actors/contract/live.ts';
import type { RunCommand } from '#actors/contract/agent-link.ts';
import { paintAlone, submitPicture, untilOver, type Painted, type Picture } from '#tests/support/fault-job.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { startLiar, type Liar } from '#tests/support/liar.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { attemptsOf, expectRight, votesOf } from './evidence.ts';
import { endWithoutLeak, startAgents, untilPresent } from './grid-under-test.ts';

/** Every tile travels inside its vote. */
const PICTURE: Picture = { side: 96, tile: 32, samples: 96 };
const LIMIT_MS = 120_000;
const WRONG = new TextEncoder().encode('not a tile');

describe('an agent that lies', () => {
  let painted: Painted;
  let grid: Grid;

  beforeAll(async () => {
    [painted, grid] = await Promise.all([paintAlone(PICTURE), startGrid()]);
    await startAgents(grid, ['a', 'b']);
  }, LIMIT_MS);
  afterAll(() => endWithoutLeak(grid), LIMIT_MS);

  /** A liar among two honest agents, and the first lease that it got of a new job. */
  async function begin(name: string): Promise<{ liar: Liar; job: string; command: RunCommand; right: Uint8Array }> {
    const liar = await startLiar(grid, name);
    onTestFinished(() => liar.leave());
    await untilPresent(grid, [liar.device]);
    const job = await submitPicture(grid.client, PICTURE);
    const command = await liar.command(job);
    const right = painted.tiles[command.shard];
    if (right === undefined) throw new Error(`the liar was given shard ${command.shard}`);
    return { liar, job, command, right };
  }

  /** The liar goes, the others finish. Answers the shards. */
  async function finish(liar: Liar, job: string): Promise<ShardDetail[]> {
    await liar.leave();
    return expectRight(grid, job, painted);
  }

  it(
    'altered result, well signed: counts as a vote, is outvoted, and stays visible',
    async () => {
      const { liar, job, command } = await begin('forger');
      liar.send(liar.voteFor(command, WRONG));
      expect(await liar.settled(command.fence)).toMatchObject({ outcome: 'accepted' });

      const shards = await finish(liar, job);
      expect(votesOf(shards, liar.device)).toMatchObject([{ state: 'accepted', agrees: false, fence: command.fence, size: WRONG.length }]);
      const outvoted = shards[command.shard]?.votes
        .filter((vote) => vote.agrees)
        .map((vote) => vote.deviceName)
        .sort();
      expect(outvoted).toEqual(['a', 'b']);
      const receipts = await grid.client.receipts(job);
      expect(receipts[command.shard]?.leaf.votes.map((vote) => vote.device)).not.toContain(liar.device);
    },
    LIMIT_MS,
  );

  it(
    'altered result, bytes that do not have the hash: refused',
    async () => {
      const { liar, job, command, right } = await begin('swapper');
      const altered = right.map((byte, index) => (index === 0 ? byte ^ 1 : byte));
      liar.send({ ...liar.voteFor(command, right), bytes: altered });
      await expectRefused(liar, job, command, /^altered result/);
    },
    LIMIT_MS,
  );

  it(
    'result that was never uploaded: refused',
    async () => {
      const { liar, job, command } = await begin('promiser');
      const { bytes: _, ...vote } = liar.voteFor(command, WRONG);
      liar.send(vote);
      await expectRefused(liar, job, command, /never uploaded/);
    },
    LIMIT_MS,
  );

  it(
    'altered signature: refused',
    async () => {
      const { liar, job, command, right } = await begin('scribbler');
      const vote = liar.voteFor(command, right);
      liar.send({ ...vote, signature: `${vote.signature.startsWith('0') ? '1' : '0'}${vote.signature.slice(1)}` });
      await expectRefused(liar, job, command, /^the signature is not valid/);
    },
    LIMIT_MS,
  );

  it(
    'right signature for another input: refused',
    async () => {
      const { liar, job, command, right } = await begin('mixer');
      liar.send(liar.voteFor({ ...command, inputDigest: '0'.repeat(64) }, right));
      await expectRefused(liar, job, command, /^the signature is not valid/);
    },
    LIMIT_MS,
  );

  async function expectRefused(liar: Liar, job: string, command: RunCommand, reason: RegExp): Promise<void> {
    const settled = await liar.settled(command.fence);
    expect(settled).toMatchObject({ outcome: 'refused', reason: expect.stringMatching(reason) });
    const shards = await finish(liar, job);
    expect(votesOf(shards, liar.device)).toMatchObject([{ state: 'refused', agrees: false, fence: command.fence, reason: settled.reason }]);
    expect(shards[command.shard]?.attempts.find((attempt) => attempt.device === liar.device)).toMatchObject({ state: 'refused' });
  }

  it(
    'replayed vote: the first counts, the second is refused',
    async () => {
      const { liar, job, command, right } = await begin('parrot');
      const vote = liar.voteFor(command, right);
      liar.send(vote);
      expect(await liar.settled(command.fence, 1)).toMatchObject({ outcome: 'accepted' });
      liar.send(vote);
      expect(await liar.settled(command.fence, 2)).toMatchObject({ outcome: 'refused', reason: expect.stringMatching(/^replayed/) });

      const shards = await finish(liar, job);
      expect(votesOf(shards, liar.device)).toMatchObject([
        { state: 'accepted', agrees: true, fence: command.fence },
        { state: 'refused', agrees: false, fence: command.fence, reason: expect.stringMatching(/^replayed/) },
      ]);
    },
    LIMIT_MS,
  );

  it(
    "vote for another's lease: refused, and the lease's owner still has its vote",
    async () => {
      const { liar, job, command } = await begin('thief');
      const victim = await leaseOfAnother(liar.device, job);
      const right = painted.tiles[victim.shard] ?? WRONG;
      liar.send(liar.voteFor({ ...command, ...victim }, right));
      const settled = await liar.settled(victim.fence);
      expect(settled).toMatchObject({ outcome: 'refused', reason: "another device's lease" });

      const shards = await finish(liar, job);
      expect(votesOf(shards, liar.device)).toMatchObject([{ state: 'refused', fence: victim.fence, reason: "another device's lease" }]);
      expect(attemptsOf(shards, victim.device).find((attempt) => attempt.fence.seq === victim.fence.seq)).toMatchObject({ state: 'voted' });
    },
    LIMIT_MS,
  );

  async function leaseOfAnother(device: string, job: string): Promise<{ device: string; shard: number; fence: RunCommand['fence'] }> {
    let found: { device: string; shard: number; fence: RunCommand['fence'] } | undefined;
    await waitUntil('an honest agent is in mid-shard', async () => {
      for (let shard = 0; shard < painted.tiles.length && found === undefined; shard++) {
        const { attempts } = await grid.client.shard(job, shard);
        const lease = attempts.find((attempt) => attempt.device !== device && attempt.state === 'leased');
        if (lease !== undefined) found = { device: lease.device, shard, fence: lease.fence };
      }
      return found !== undefined;
    });
    if (found === undefined) throw new Error('the lease was there a moment ago');
    return found;
  }

  it(
    'vote after its shard was settled: refused while the job still runs',
    async () => {
      const { liar, job, command, right } = await begin('laggard');
      await liar.leave();
      await waitUntil(
        'others have settled the shard',
        async () => (await grid.client.shard(job, command.shard)).state === 'provisional',
        60_000,
      );
      // Nothing new is leased now, so the job cannot end before the late vote comes.
      await grid.client.control(job, 'pause');
      liar.comeBack();
      liar.send(liar.voteFor(command, right));
      const settled = await liar.settled(command.fence);
      expect(settled).toMatchObject({ outcome: 'refused', reason: expect.stringMatching(/^the shard is settled/) });
      await grid.client.control(job, 'resume');

      const shards = await finish(liar, job);
      expect(votesOf(shards, liar.device)).toMatchObject([{ state: 'refused', fence: command.fence, reason: settled.reason }]);
    },
    LIMIT_MS,
  );

  it(
    'vote after the job was sealed: refused, and nothing of the sealed job changes',
    async () => {
      const { liar, job, command } = await begin('revenant');
      await liar.leave();
      await untilOver(grid.client, job);
      const before = await grid.client.receipts(job);
      liar.comeBack();
      liar.send(liar.voteFor(command, WRONG));
      const settled = await liar.settled(command.fence);
      expect(settled).toMatchObject({ outcome: 'refused', reason: expect.stringMatching(/sealed/) });

      const shards = await finish(liar, job);
      expect(votesOf(shards, liar.device)).toMatchObject([
        { state: 'refused', agrees: false, fence: command.fence, reason: settled.reason },
      ]);
      expect(await grid.client.receipts(job)).toEqual(before);
    },
    LIMIT_MS,
  );
});
