import { describe, expect, it } from 'vitest';

import type { RunCommand } from '#actors/contract/agent-link.ts';
import { verifyReceipt } from '#actors/contract/receipt.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';
import { withSystem, type Stage } from '#tests/support/actors.ts';
import type { Answer } from '#tests/support/simulated-device.ts';
import { simulatedGrid, type SimulatedGrid } from '#tests/support/simulated-grid.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
/** Longer than any of these jobs takes, in virtual time. */
const HORIZON_MS = 120_000;

function rightOutput(command: RunCommand): Uint8Array {
  return new TextEncoder().encode(`the result of shard ${command.shard}`);
}

const honest: Answer = (command) => ({ output: rightOutput(command) });

/** Advances in steps until the job is over; `fault` runs before each step. */
async function runToEnd({ host }: Stage, grid: SimulatedGrid, fault: () => void = () => {}, horizonMs = HORIZON_MS): Promise<string> {
  for (let passed = 0; passed < horizonMs; passed += 100) {
    fault();
    await host.advance(100);
    const job = await grid.store.findJob(JOB);
    if (job !== null && ['done', 'failed', 'cancelled'].includes(job.state)) return job.state;
  }
  return 'stuck';
}

/** Every shard has one accepted output, the right one, with enough votes of different devices and a receipt that verifies. */
async function expectProven({ host }: Stage, grid: SimulatedGrid, quorum: number): Promise<void> {
  const answers = grid.desk.receipts(JOB, 'all', null);
  await host.settle();
  const receipts = await answers;
  for (const receipt of receipts) {
    const verdict = verifyReceipt(receipt, { sha256, verify });
    expect(verdict.checks.filter((c) => !c.ok)).toEqual([]);
    const text = new TextEncoder().encode(`the result of shard ${receipt.leaf.shard}`);
    expect(receipt.leaf.output.sha256).toBe(Buffer.from(sha256(text)).toString('hex'));
    expect(new Set(receipt.leaf.votes.map((v) => v.device)).size).toBeGreaterThanOrEqual(quorum);
  }
}

async function play(seed: number, scene: (stage: Stage, grid: SimulatedGrid) => Promise<void>): Promise<void> {
  await withSystem(
    async (stage) => {
      const grid = await simulatedGrid(stage);
      await scene(stage, grid);
      await stage.host.advance(1_000);
      await grid.close();
    },
    { seed },
  );
}

describe('a job over devices that are honest', () => {
  it('is sealed with the asked quorum on every shard', async () => {
    await play(1, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 40, 2);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });

  it('waits for a second device rather than accept what one device says twice', async () => {
    await play(2, async (stage, grid) => {
      await grid.addDevice('aa', honest);
      await grid.submit(JOB, 3, 2);
      await stage.host.advance(20_000);
      expect((await grid.store.findJob(JOB))?.state).toBe('running');
      await grid.addDevice('bb', honest);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });
});

describe('a job over devices that come and go', () => {
  it.each([11, 12, 13, 14, 15, 16, 17, 18])('loses no shard and accepts each once (seed %i)', async (seed) => {
    await play(seed, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc', 'dd']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 30, 2);
      const state = await runToEnd(stage, grid, () => {
        for (const device of grid.devices) {
          const dice = stage.host.random();
          if (device.connected && dice < 0.15) device.cut({ loseWork: dice < 0.08 });
          else if (!device.connected && dice < 0.5) device.connect();
        }
      });
      expect(state).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });
});

describe('a job over devices of which one is bad', () => {
  it.each([21, 22, 23])('outvotes a device that always answers wrong (seed %i)', async (seed) => {
    await play(seed, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, honest);
      await grid.addDevice('liar', () => ({ output: new TextEncoder().encode('a lie') }));
      await grid.submit(JOB, 20, 2);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });

  it('finishes without a device that beats and never answers', async () => {
    await play(32, async (stage, grid) => {
      for (const name of ['aa', 'bb']) await grid.addDevice(name, honest);
      await grid.addDevice('mute', () => null);
      await grid.submit(JOB, 10, 2);
      const beat = (): void => {
        for (const device of grid.devices) device.send({ type: 'beat', load: 0, memoryFreeBytes: 0, running: 2 });
      };
      expect(await runToEnd(stage, grid, beat, 600_000)).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });

  it('finishes without a device that fails every attempt', async () => {
    await play(31, async (stage, grid) => {
      for (const name of ['aa', 'bb']) await grid.addDevice(name, honest);
      await grid.addDevice('broken', () => 'fails');
      await grid.submit(JOB, 10, 2);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectProven(stage, grid, 2);
    });
  });

  it('keeps an altered signature on record as refused and seals with the votes of others', async () => {
    await play(41, async (stage, grid) => {
      for (const name of ['aa', 'bb']) await grid.addDevice(name, honest);
      await grid.addDevice('forger', (command) => ({
        output: rightOutput(command),
        spoil: (vote) => ({ ...vote, signature: '0'.repeat(128) }),
      }));
      await grid.submit(JOB, 6, 2);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectProven(stage, grid, 2);
      const refused = (await grid.store.votesOf(JOB, null)).filter((v) => v.refusal !== null);
      expect(refused.length).toBeGreaterThan(0);
      expect(new Set(refused.map((v) => v.refusal))).toEqual(new Set(['the signature is not valid for this vote']));
    });
  });
});
