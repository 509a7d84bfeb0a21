import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { readPostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';
import { isAlive } from '#runtime/database/embedded/processes.ts';
import { paintAlone, submitPicture, untilMidJob, type Painted, type Picture } from '#tests/support/fault-job.ts';
import type { Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { expectAllWork } from './all-work.ts';
import { attemptsOf, expectRight } from './evidence.ts';
import { startAgents, startTestGrid, untilPresent } from './grid-under-test.ts';

const PICTURE: Picture = { side: 160, tile: 48, samples: 128 };
const LIMIT_MS = 150_000;

describe('kill -9 in the middle of a job', () => {
  let painted: Painted;
  beforeAll(async () => {
    painted = await paintAlone(PICTURE);
  });

  it(
    'of an agent: its attempt is lost, the agent comes back on its folder, the job is right',
    async () => {
      const grid = await startTestGrid();
      const [first, ...others] = await startAgents(grid, ['a', 'b', 'c']);
      const device = first?.device ?? '';
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      let agent = first;
      // A kill may fall between a vote and the next lease; then it hit nothing, and the agent is killed again.
      let lost: string[] = [];
      while (lost.length === 0) {
        await waitUntil('the agent is in mid-shard', async () => (await grid.client.device(device)).running > 0, 60_000);
        await agent?.kill();
        agent = await grid.startAgent('a');
        await untilPresent(grid, [device]);
        lost = await lostAttempts(grid, job, device);
      }
      expect(agent?.device).toBe(device);

      const shards = await expectRight(grid, job, painted);
      expect(attemptsOf(shards, device).filter((attempt) => attempt.state === 'leased')).toEqual([]);
      await expectAllWork(grid, agent === undefined ? others : [agent, ...others]);
    },
    LIMIT_MS,
  );

  it(
    'of the coordinator: restarted on the same data, the agents come back by themselves',
    async () => {
      const grid = await startTestGrid();
      const agents = await startAgents(grid, ['a', 'b', 'c']);
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      const before = await grid.client.job(job);
      await grid.coordinator.kill();
      await grid.restartCoordinator();
      const restartedAt = Date.now();

      const shards = await expectRight(grid, job, painted);
      expect(
        shards.filter((s) => s.votes.some((v) => v.at < restartedAt)).length,
        'what was accepted before is kept',
      ).toBeGreaterThanOrEqual(before.counts.provisional);
      expect(
        shards.some((s) => s.votes.some((v) => v.at >= restartedAt)),
        'and there was work left to do',
      ).toBe(true);
      for (const agent of agents) expect(isAlive(agent.pid)).toBe(true);
      await expectAllWork(grid, agents);
    },
    LIMIT_MS,
  );

  it(
    'of PostgreSQL: it comes back, and nothing that was accepted is lost',
    async () => {
      const grid = await startTestGrid();
      const agents = await startAgents(grid, ['a', 'b', 'c']);
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      const data = path.join(grid.folder, 'data', 'pg18');
      const server = (await readPostmasterPid(data))?.pid ?? 0;
      expect(isAlive(server)).toBe(true);
      process.kill(server, 'SIGKILL');
      const killedAt = Date.now();

      const shards = await expectRight(grid, job, painted);
      expect((await readPostmasterPid(data))?.pid).not.toBe(server);
      expect(
        shards.some((s) => s.votes.some((v) => v.at > killedAt)),
        'there was work left to do',
      ).toBe(true);
      expect(isAlive(grid.coordinator.pid)).toBe(true);
      await expectAllWork(grid, agents);
    },
    LIMIT_MS,
  );
});

/** Reasons of the attempts that the device lost. */
async function lostAttempts(grid: Grid, job: string, device: string): Promise<string[]> {
  const { shards } = await grid.client.job(job);
  const details = await Promise.all(Array.from({ length: shards }, (_, index) => grid.client.shard(job, index)));
  return attemptsOf(details, device)
    .filter((attempt) => attempt.state === 'suspect' || attempt.state === 'expired')
    .map((attempt) => attempt.reason ?? '');
}
