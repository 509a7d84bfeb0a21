import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { paintAlone, submitPicture, untilMidJob, type Painted, type Picture } from '#tests/support/fault-job.ts';
import type { AgentProcess, Grid } from '#tests/support/grid.ts';
import { startProxy, type Proxy } from '#tests/support/proxy.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { expectAllWork } from './all-work.ts';
import { expectRight, votesOf } from './evidence.ts';
import { startAgents, startTestGrid } from './grid-under-test.ts';

const PICTURE: Picture = { side: 160, tile: 48, samples: 128 };
const LIMIT_MS = 150_000;
/** What the agent's log says when its link opens, for the first time or again. */
const CONNECTED = '"connected":true';

describe('a line that fails in the middle of a job', () => {
  let painted: Painted;
  beforeAll(async () => {
    painted = await paintAlone(PICTURE);
  });

  /** Three agents; the last one reaches the grid through a proxy, all it says and all it fetches. */
  async function startBehindProxy(): Promise<{ grid: Grid; proxy: Proxy; agents: AgentProcess[]; far: AgentProcess }> {
    const grid = await startTestGrid({ logLevel: 'info' });
    const proxy = await startProxy(grid.url);
    onTestFinished(async () => {
      await proxy.close();
      expect(proxy.open).toBe(0);
    });
    const near = await startAgents(grid, ['a', 'b']);
    const [far] = await startAgents(grid, ['c'], proxy.url);
    if (far === undefined) throw new Error('the third agent did not start');
    return { grid, proxy, agents: [...near, far], far };
  }

  it(
    'cut, and free again at once: the session is resumed, the agent goes on voting',
    async () => {
      const { grid, proxy, agents, far } = await startBehindProxy();
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      let cutAt = 0;
      for (let cuts = 1; cuts <= 3; cuts++) {
        await waitUntil('the agent is in mid-shard', async () => (await grid.client.device(far.device)).running > 0, 60_000);
        proxy.cut();
        cutAt = Date.now();
        proxy.mend();
        await waitUntil('the agent is connected again', () => times(far.output(), CONNECTED) === 1 + cuts);
      }

      const shards = await expectRight(grid, job, painted);
      expect(times(grid.coordinator.output(), `"device":"${far.device}"`, 'session opened')).toBe(1);
      expect(votesOf(shards, far.device).some((vote) => vote.state === 'accepted' && vote.at > cutAt)).toBe(true);
      await expectAllWork(grid, agents);
    },
    LIMIT_MS,
  );

  it(
    'half-open: both ends notice the silence, and the agent comes back when the line is mended',
    async () => {
      const { grid, proxy, agents, far } = await startBehindProxy();
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      await waitUntil('the agent is in mid-shard', async () => (await grid.client.device(far.device)).running > 0, 60_000);
      proxy.swallow();
      await waitUntil('the agent has noticed', () => times(far.output(), 'connection lost') === 1, 30_000);
      // The grid ends the session when the lease has run out: longer than the time after which the line counts as dead.
      await waitUntil(
        'the grid has given it up',
        () => times(grid.coordinator.output(), `"device":"${far.device}"`, 'session ended') === 1,
        30_000,
      );
      expect(times(far.output(), CONNECTED)).toBe(1);
      proxy.mend();

      await expectRight(grid, job, painted);
      await waitUntil('the agent is connected again', () => times(far.output(), CONNECTED) === 2, 30_000);
      await expectAllWork(grid, agents);
    },
    LIMIT_MS,
  );
});

/** Lines of a log that hold all of these texts. */
function times(log: string, ...texts: readonly string[]): number {
  return log.split('\n').filter((line) => texts.every((text) => line.includes(text))).length;
}
