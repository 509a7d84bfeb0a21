import { describe, expect, it } from 'vitest';

import type { RunCommand } from '#actors/contract/agent-link.ts';
import type { JobSpec } from '#actors/contract/job-spec.ts';
import { withSystem } from '#tests/support/actors.ts';
import { simulatedGrid, type SimulatedGrid } from '#tests/support/simulated-grid.ts';

const PREPARE = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const WORK = '0f6d1c52-3b7a-4c55-8a44-5d1f0c9b7e21';
const LAST = '11111111-3b7a-4c55-8a44-5d1f0c9b7e21';

const text = (bytes: string): Uint8Array => new TextEncoder().encode(bytes);

async function withGrid(work: (grid: SimulatedGrid, advance: (ms: number) => Promise<void>) => Promise<void>): Promise<void> {
  await withSystem(
    async (stage) => {
      const grid = await simulatedGrid(stage);
      await work(grid, (ms) => stage.host.advance(ms));
      await grid.close();
    },
    { seed: 11 },
  );
}

const submit = (grid: SimulatedGrid, id: string, changes: Partial<JobSpec>): Promise<void> => grid.submit(id, 2, 1, { changes });

describe('a job that needs others', () => {
  it('begins when they are done, with their outputs as its inputs', async () => {
    await withGrid(async (grid, advance) => {
      await advance(1_000);
      await submit(grid, PREPARE, {});
      await submit(grid, WORK, { shards: { outputsOf: PREPARE } });
      await submit(grid, LAST, { needs: [WORK, PREPARE] });
      await advance(2_000);
      expect(await grid.store.findJob(WORK)).toMatchObject({ state: 'queued', reason: expect.stringContaining('waits for simulated') });
      const why = grid.desk.why(WORK, null, null);
      await advance(10);
      expect(await why).toMatchObject({ hold: 'needs', pending: 2 });
      const commands: RunCommand[] = [];
      await grid.addDevice('only', (command) => {
        commands.push(command);
        return { output: text(`shard ${command.shard} of ${command.job}`) };
      });
      await advance(20_000);
      for (const id of [PREPARE, WORK, LAST]) expect(await grid.store.findJob(id)).toMatchObject({ state: 'done' });
      const made = (await grid.store.shardsOf(PREPARE)).map(({ output }) => output?.sha256);
      const job = await grid.store.findJob(WORK);
      expect(job?.spec.needs).toEqual([PREPARE]);
      expect(job?.spec.shards).toMatchObject({ inputs: made.map((sha256) => ({ sha256 })) });
      const given = commands.filter((command) => command.job === WORK).sort((a, b) => a.shard - b.shard);
      expect(given.map(({ shard, input }) => [shard, ...input.map(({ sha256 }) => sha256)])).toEqual(made.map((sha256, n) => [n, sha256]));
    });
  });

  it('fails when one of them fails, and says which and why', async () => {
    await withGrid(async (grid, advance) => {
      await submit(grid, PREPARE, {});
      await submit(grid, WORK, { needs: [PREPARE] });
      await submit(grid, LAST, { needs: [WORK] });
      await advance(1_000);
      const cancelled = grid.desk.control(PREPARE, 'cancel', null);
      await advance(10);
      await cancelled;
      await advance(20_000);
      expect(await grid.store.findJob(WORK)).toMatchObject({
        state: 'failed',
        reason: `it needs job simulated (${PREPARE}), which is cancelled`,
      });
      const reason = `it needs job simulated (${WORK}), which is failed: it needs job simulated (${PREPARE}), which is cancelled`;
      expect(await grid.store.findJob(LAST)).toMatchObject({ state: 'failed', reason });
    });
  });

  it('is not begun by a pause that ends', async () => {
    await withGrid(async (grid, advance) => {
      await submit(grid, PREPARE, {});
      await submit(grid, WORK, { needs: [PREPARE] });
      await advance(1_000);
      for (const [action, state] of [
        ['pause', 'paused'],
        ['resume', 'queued'],
      ] as const) {
        const answer = grid.desk.control(WORK, action, null);
        await advance(10);
        expect(await answer).toMatchObject({ state });
      }
      await grid.addDevice('only', () => ({ output: text('done') }));
      await advance(20_000);
      expect(await grid.store.findJob(WORK)).toMatchObject({ state: 'done' });
    });
  });

  it('must name jobs of its tenant that can still be done', async () => {
    await withGrid(async (grid, advance) => {
      await expect(submit(grid, WORK, { needs: [PREPARE] })).rejects.toMatchObject({ code: 'NOT_FOUND', path: 'needs[0]' });
      await expect(submit(grid, WORK, { shards: { outputsOf: PREPARE } })).rejects.toMatchObject({ path: 'shards.outputsOf' });
      await submit(grid, PREPARE, {});
      await advance(100);
      const cancelled = grid.desk.control(PREPARE, 'cancel', null);
      await advance(10);
      await cancelled;
      await expect(submit(grid, WORK, { needs: [PREPARE] })).rejects.toMatchObject({ code: 'CONFLICT', path: 'needs[0]' });
      await expect(submit(grid, WORK, { tenant: 'others' })).rejects.toMatchObject({ code: 'FORBIDDEN', path: 'tenant' });
    });
  });
});

describe('a deadline', () => {
  it('that passes fails the job; one that is kept does nothing', async () => {
    await withGrid(async (grid, advance) => {
      await submit(grid, PREPARE, { deadlineSeconds: 60 });
      await submit(grid, WORK, { deadlineSeconds: 30, needs: [PREPARE] });
      await advance(29_000);
      expect(await grid.store.findJob(WORK)).toMatchObject({ state: 'queued' });
      await advance(2_000);
      expect(await grid.store.findJob(WORK)).toMatchObject({
        state: 'failed',
        reason: 'its deadline passed, 30 s after it was submitted',
      });
      await grid.addDevice('only', () => ({ output: text('done') }));
      await advance(60_000);
      expect(await grid.store.findJob(PREPARE)).toMatchObject({ state: 'done' });
    });
  });
});

it('a shard that failed waits before it runs again', async () => {
  await withGrid(async (grid, advance) => {
    const at: number[] = [];
    let clock = 0;
    const fails = (): 'fails' => {
      at.push(clock);
      return 'fails';
    };
    for (const name of ['a', 'b', 'c', 'd']) await grid.addDevice(name, fails);
    await submit(grid, PREPARE, { shards: { count: 1 }, maxFailures: 4, retry: { pauseSeconds: 4, maxPauseSeconds: 10 } });
    for (; clock < 60; clock += 1) await advance(1_000);
    const pauses = at.slice(1).map((when, n) => when - (at[n] ?? 0));
    expect(pauses).toHaveLength(3);
    // Placement looks at everything once a second.
    for (const [n, pause] of [4, 8, 10].entries()) expect(Math.abs((pauses[n] ?? 0) - pause)).toBeLessThanOrEqual(2);
    expect(await grid.store.findJob(PREPARE)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('shard 0: 4 attempts failed'),
    });
  });
});
