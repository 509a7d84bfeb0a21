import { describe, expect, it } from 'vitest';

import { jainIndex } from '#actors/placement/fair-share.ts';
import { withSystem } from '#tests/support/actors.ts';
import { simulatedGrid, type SimulatedGrid } from '#tests/support/simulated-grid.ts';

const output = new TextEncoder().encode('done');
const idOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
/** A job that was submitted so long ago is known to placement. */
const KNOWN_MS = 1_000;
const BEAT_MS = 1_000;

interface Known {
  readonly id: string;
  readonly tenant: string;
  readonly priority: number;
  readonly at: number;
}

async function playOn(
  work: (grid: SimulatedGrid, advance: (ms: number) => Promise<void>, wall: () => number) => Promise<void>,
): Promise<void> {
  await withSystem(
    async (stage) => {
      const grid = await simulatedGrid(stage);
      // Devices that hold work are heard every second, or their sessions end.
      const advance = async (ms: number): Promise<void> => {
        for (let passed = 0; passed < ms; passed += BEAT_MS) {
          for (const device of grid.devices) device.send({ type: 'beat', load: 0, memoryFreeBytes: 1e9, running: 1 });
          await stage.host.advance(Math.min(BEAT_MS, ms - passed));
        }
      };
      await work(grid, advance, () => stage.host.clock.wall());
      for (const device of grid.devices) device.cut({ loseWork: true });
      await stage.host.advance(BEAT_MS);
      await grid.close();
    },
    { seed: 5 },
  );
}

/** Attempts in the order in which they were leased. */
async function attemptsOf(grid: SimulatedGrid, jobs: readonly Known[]) {
  const all = await Promise.all(jobs.map(async (job) => (await grid.store.attemptsOf(job.id, null)).map((a) => ({ ...a, known: job }))));
  return all.flat().sort((a, b) => a.fence.seq - b.fence.seq);
}

describe('tenants of a busy grid', () => {
  it('share it evenly, though one has a thousand times as much to do; inside one the more urgent job goes first', async () => {
    await playOn(async (grid, advance, wall) => {
      const jobs: Known[] = [];
      const submit = async (tenant: string, shards: number, priority: number): Promise<void> => {
        const id = idOf(jobs.length);
        jobs.push({ id, tenant, priority, at: wall() });
        await grid.submit(id, shards, 1, { tenant, changes: { priority } });
      };
      for (let n = 0; n < 10; n++) await submit('loud', 70_000, n % 4);
      await submit('quiet', 500, 0);
      await submit('quiet', 200, 5);
      await grid.addDevice('only', () => ({ output }));
      await advance(20_000);
      await submit('loud', 100, 9);
      await advance(40_000);

      const attempts = await attemptsOf(grid, jobs);
      const got = (tenant: string): number => attempts.filter((attempt) => attempt.known.tenant === tenant).length;
      expect(attempts.length).toBeGreaterThan(500);
      // Quiet must have had something to do to the end, or it was not kept from anything.
      expect(got('quiet')).toBeLessThan(700);
      expect(jainIndex([got('loud'), got('quiet')])).toBeGreaterThanOrEqual(0.95);

      const lastOf = new Map(attempts.map((attempt) => [attempt.job, attempt.fence.seq]));
      const inversions = attempts.filter(({ known, fence, leasedAt }) =>
        jobs.some(
          (other) =>
            other.tenant === known.tenant &&
            other.priority > known.priority &&
            other.at + KNOWN_MS < leasedAt &&
            (lastOf.get(other.id) ?? 0) > fence.seq,
        ),
      );
      expect(inversions).toEqual([]);
      expect(attempts.filter(({ known }) => known.priority === 9)).toHaveLength(100);
    });
  });

  it('get what their weights say, and no more at once than their quota', async () => {
    await playOn(async (grid, advance, wall) => {
      await grid.store.setTenantPolicy('heavy', { weight: 3, maxRunning: null, maxGpus: null }, wall());
      await grid.store.setTenantPolicy('bound', { weight: 100, maxRunning: 1, maxGpus: null }, wall());
      grid.refs.placement.policiesChanged();
      await advance(100);
      const jobs = ['heavy', 'light', 'bound'].map((tenant, n) => ({ id: idOf(n), tenant, priority: 0, at: wall() }));
      for (const { id, tenant } of jobs) await grid.submit(id, 5_000, 1, { tenant });
      for (const name of ['a', 'b', 'c', 'd', 'e']) await grid.addDevice(name, () => ({ output }));
      await advance(20_000);
      const running = new Map<string, number>();
      let most = 0;
      const attempts = await attemptsOf(grid, jobs);
      const moments = attempts
        .filter(({ known }) => known.tenant === 'bound')
        .flatMap(({ leasedAt, endedAt }) => [[leasedAt, 1] as const, ...(endedAt === null ? [] : [[endedAt, -1] as const])])
        .sort(([a, x], [b, y]) => a - b || x - y);
      let now = 0;
      for (const [, change] of moments) most = Math.max(most, (now += change));
      expect(most).toBe(1);
      for (const { known } of attempts) running.set(known.tenant, (running.get(known.tenant) ?? 0) + 1);
      const ratio = (running.get('heavy') ?? 0) / (running.get('light') ?? 1);
      expect(ratio).toBeGreaterThan(2.4);
      expect(ratio).toBeLessThan(3.6);
      const why = grid.desk.why(idOf(2), null, null);
      await advance(10);
      expect(await why).toMatchObject({ hold: 'quota' });
    });
  });
});
