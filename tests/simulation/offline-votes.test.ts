import { expect, it } from 'vitest';

import { withSystem } from '#tests/support/actors.ts';
import { simulatedGrid } from '#tests/support/simulated-grid.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const HOUR = 3_600_000;

it('votes of a machine that was offline for a day count when it is back, each once', { timeout: 120_000 }, async () => {
  await withSystem(
    async (stage) => {
      const { host } = stage;
      const grid = await simulatedGrid(stage);
      const answer = (): { output: Uint8Array } => ({ output: new TextEncoder().encode('done') });
      const away = await grid.addDevice('away', answer);
      const here = await grid.addDevice('here', answer);
      await host.advance(1_000);
      // Every shard needs both machines.
      await grid.submit(JOB, 2, 2);
      for (let ms = 0; ms < 1_000 && (await grid.store.attemptsOf(JOB, null)).length < 4; ms++) await host.advance(1);
      // It has its work, and no vote of it has arrived.
      away.cut({ loseWork: false });
      expect((await grid.store.votesOf(JOB, null)).filter(({ device }) => device === away.id)).toEqual([]);
      for (let hours = 0; hours < 24; hours++) {
        await host.advance(HOUR);
        // A machine that is here stays: what beats its link would bring, the simulation leaves out.
        if (!here.connected) here.connect();
      }
      expect(await grid.store.findJob(JOB)).toMatchObject({ state: 'running' });
      away.connect();
      // It may say so more than once: nobody knows which of its words arrived.
      await host.advance(5);
      away.cut({ loseWork: false });
      await host.advance(5);
      away.connect();
      await host.advance(60_000);
      expect(await grid.store.findJob(JOB)).toMatchObject({ state: 'done' });
      const votes = await grid.store.votesOf(JOB, null);
      expect(votes.map(({ index, device, refusal }) => `${index} ${device} ${refusal}`).toSorted()).toEqual(
        [0, 1].flatMap((index) => [here.id, away.id].map((device) => `${index} ${device} null`)).toSorted(),
      );
      expect(away.settled.every(({ outcome }) => outcome === 'accepted')).toBe(true);
      await grid.close();
    },
    { seed: 1 },
  );
});
