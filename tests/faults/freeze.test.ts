import { expect, it } from 'vitest';

import { paintAlone, submitPicture, untilMidJob, type Picture } from '#tests/support/fault-job.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { expectAllWork } from './all-work.ts';
import { attemptsOf, expectRight } from './evidence.ts';
import { startAgents, startTestGrid } from './grid-under-test.ts';

const PICTURE: Picture = { side: 160, tile: 48, samples: 128 };
const LIMIT_MS = 150_000;

it(
  'a frozen agent loses its lease, others do its work, and what it says when it thaws cannot do harm',
  async () => {
    const painted = await paintAlone(PICTURE);
    const grid = await startTestGrid({ logLevel: 'info' });
    const agents = await startAgents(grid, ['a', 'b', 'c']);
    const [, , frozen] = agents;
    if (frozen === undefined) throw new Error('the third agent did not start');
    const job = await submitPicture(grid.client, PICTURE);
    await untilMidJob(grid.client, job);
    await waitUntil('the agent is in mid-shard', async () => (await grid.client.device(frozen.device)).running > 0, 60_000);
    frozen.freeze();
    const ended = (): boolean =>
      grid.coordinator
        .output()
        .split('\n')
        .some((line) => line.includes('session ended') && line.includes(frozen.device));
    await waitUntil('its lease has run out', ended, 30_000);
    frozen.thaw();

    const shards = await expectRight(grid, job, painted);
    const lost = attemptsOf(shards, frozen.device).filter((attempt) => ['suspect', 'expired', 'refused'].includes(attempt.state));
    // An attempt that was lost and voted all the same is in order, too: then it shows an end before its vote.
    const late = attemptsOf(shards, frozen.device).filter(
      (attempt) => attempt.state === 'voted' && (attempt.endedAt ?? 0) - attempt.leasedAt > 5_000,
    );
    expect(lost.length + late.length).toBeGreaterThan(0);
    await expectAllWork(grid, agents);
  },
  LIMIT_MS,
);
