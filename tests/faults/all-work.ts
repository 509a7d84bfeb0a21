import { expect } from 'vitest';

import { submitPicture, untilOver } from '#tests/support/fault-job.ts';
import type { AgentProcess, Grid } from '#tests/support/grid.ts';

/** After the fault every machine must be of use again: a job that is done only when each of them has voted on it. */
export async function expectAllWork(grid: Grid, agents: readonly AgentProcess[]): Promise<void> {
  const job = await submitPicture(grid.client, { side: 48, tile: 48, samples: 8, quorum: agents.length });
  const { state, shards } = await untilOver(grid.client, job, 60_000);
  expect(state).toBe('done');
  const wanted = agents.map((agent) => agent.device).sort();
  for (let index = 0; index < shards; index++) {
    const { votes } = await grid.client.shard(job, index);
    expect(
      votes
        .filter((vote) => vote.agrees)
        .map((vote) => vote.device)
        .sort(),
    ).toEqual(wanted);
  }
}
