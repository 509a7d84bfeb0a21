import { expect, it } from 'vitest';

import { withSystem } from '#tests/support/actors.ts';
import { simulatedGrid } from '#tests/support/simulated-grid.ts';

const FIRST = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const NEXT = '0f6d1c52-3b7a-4c55-8a44-5d1f0c9b7e21';

// A lease that was on its way when its job ended took its slot with it for ten seconds.
it.each([0, 1, 2, 3, 5, 20, 100])('a job cancelled %s ms after it came gives its slots to the next one at once', async (ms) => {
  await withSystem(
    async (stage) => {
      const { host } = stage;
      const grid = await simulatedGrid(stage);
      await grid.addDevice('only', () => ({ output: new TextEncoder().encode('done') }));
      await host.advance(1_000);
      // Two votes of different devices are asked for and there is one device: it would never end.
      await grid.submit(FIRST, 8, 2);
      if (ms > 0) await host.advance(ms);
      const cancelled = grid.desk.control(FIRST, 'cancel', null);
      await host.advance(1);
      expect(await cancelled).toMatchObject({ state: 'cancelled' });
      await grid.submit(NEXT, 4, 1);
      await host.advance(2_000);
      expect(await grid.store.findJob(NEXT)).toMatchObject({ state: 'done' });
      await grid.close();
    },
    { seed: 7 },
  );
});
