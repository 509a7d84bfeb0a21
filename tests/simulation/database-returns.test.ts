import { describe, expect, it } from 'vitest';

import { withSystem, type Stage } from '#tests/support/actors.ts';
import type { Answer } from '#tests/support/simulated-device.ts';
import { simulatedGrid, type SimulatedGrid } from '#tests/support/simulated-grid.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e91';
const NEXT_JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e92';
const COMMIT_MS = 40;
const DEVICES = ['aa', 'bb', 'cc'];
const SLOTS = 2;

/** Outputs are small here, so each travels in its votes and is in no store: the merge shard must be given their bytes. */
const honest: Answer = (command) =>
  command.input.every((part) => part.bytes !== undefined)
    ? { output: new TextEncoder().encode(`the result of shard ${command.shard}`) }
    : 'fails';

/** When the database was away every job is read again, while its last changes are still being written. */
describe('a database that returns in the middle of votes', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'leaves no vote without an answer, no shard half decided, no slot and no small output lost (seed %i)',
    async (seed) => {
      await withSystem(
        async (stage) => {
          const { host } = stage;
          const grid = await simulatedGrid(stage, { commitMs: COMMIT_MS });
          for (const name of DEVICES) await grid.addDevice(name, honest);
          await grid.submit(JOB, 40, 2, { merge: true });
          for (let returns = 0; returns < 20; returns++) {
            await host.advance(20 + host.random() * 150);
            grid.refs.jobs.reload();
          }
          await beatUntil(stage, grid, 20_000, async () => (await grid.store.findJob(JOB))?.state === 'done');

          const votes = await grid.store.votesOf(JOB, null);
          expect(votes.map((vote) => vote.refusal).filter((refusal) => refusal !== null)).toEqual([]);
          expect(votes.length).toBe(82);
          expect(grid.devices.flatMap((device) => device.settled).filter((one) => one.outcome !== 'accepted')).toEqual([]);

          await expectAllSlots(stage, grid);
          await host.advance(1_000);
          await grid.close();
        },
        { seed },
      );
    },
  );

  it('gives a slot back whose lease was lost on its way to a job that started anew', async () => {
    await withSystem(async (stage) => {
      const { host } = stage;
      const grid = await simulatedGrid(stage, { commitMs: COMMIT_MS });
      for (const name of DEVICES) await grid.addDevice(name, honest);
      await grid.submit(JOB, 40, 2, { merge: true });
      await host.advance(150);
      // The job waits for its own last changes before it reads itself anew; what is leased meanwhile waits in its mailbox.
      grid.refs.jobs.reload();
      for (const device of grid.devices) {
        device.cut({ loseWork: true });
        device.connect();
      }
      await host.settle();
      grid.refs.jobs.reload();
      await host.settle();
      const leased = (await grid.store.attemptsOf(JOB, null)).filter((attempt) => attempt.state === 'leased');
      expect(leased.length, 'leases that no device has heard of').toBeGreaterThan(0);

      await beatUntil(stage, grid, 60_000, async () => (await grid.store.findJob(JOB))?.state === 'done');
      await expectAllSlots(stage, grid);
      await host.advance(1_000);
      await grid.close();
    });
  });
});

/** All slots of all devices are taken at once by the next job. */
async function expectAllSlots(stage: Stage, grid: SimulatedGrid): Promise<void> {
  let most = 0;
  await grid.submit(NEXT_JOB, 40, DEVICES.length);
  await beatUntil(stage, grid, 20_000, async () => {
    const leased = (await grid.store.attemptsOf(NEXT_JOB, null)).filter((attempt) => attempt.state === 'leased');
    most = Math.max(most, leased.length);
    return (await grid.store.findJob(NEXT_JOB))?.state === 'done';
  });
  expect(most).toBe(DEVICES.length * SLOTS);
}

/** Simulated devices beat when they are told to. */
async function beatUntil({ host }: Stage, grid: SimulatedGrid, withinMs: number, done: () => Promise<boolean>): Promise<void> {
  for (let passed = 0; passed < withinMs; passed += 50) {
    if (passed % 1_000 === 0) for (const device of grid.devices) device.send({ type: 'beat', load: 0, memoryFreeBytes: 0, running: 0 });
    await host.advance(50);
    if (await done()) return;
  }
  throw new Error(`not done after ${withinMs} ms`);
}
