import { describe, expect, it } from 'vitest';

import type { RunCommand } from '#actors/contract/agent-link.ts';
import { type KeyList, keyListBytes } from '#actors/contract/former-keys.ts';
import { verifyReceipt } from '#actors/contract/receipt.ts';
import { REFUSALS_KEPT } from '#actors/refusal-quota.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';
import { withSystem, type Stage } from '#tests/support/actors.ts';
import type { Answer } from '#tests/support/simulated-device.ts';
import { simulatedGrid, type SimulatedGrid } from '#tests/support/simulated-grid.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const HORIZON_MS = 300_000;
const TRUST = { trust: { maxError: 1e-3 } } as const;

const encoder = new TextEncoder();
const rightOutput = ({ shard, framed }: RunCommand): Uint8Array => encoder.encode(framed ? 'merged' : `the result of shard ${shard}`);
const honest: Answer = (command) => ({ output: rightOutput(command) });
const together: Answer = (command) => ({ output: encoder.encode(`the lie about shard ${command.shard}`) });

async function runToEnd({ host }: Stage, grid: SimulatedGrid, fault: () => void = () => {}): Promise<string> {
  for (let passed = 0; passed < HORIZON_MS; passed += 100) {
    fault();
    await host.advance(100);
    const job = await grid.store.findJob(JOB);
    if (job !== null && ['done', 'failed', 'cancelled'].includes(job.state)) return job.state;
  }
  return 'stuck';
}

async function expectRight({ host }: Stage, grid: SimulatedGrid): Promise<void> {
  const asked = grid.desk.receipts(JOB, 'all', null);
  await host.settle();
  for (const receipt of await asked) {
    expect(receipt.manifest).toMatchObject({ version: 2, maxError: 1e-3 });
    expect(verifyReceipt(receipt, { sha256, verify }).checks.filter((check) => !check.ok)).toEqual([]);
    expect(receipt.log?.log.head.size).toBe(1);
  }
  const shards = await grid.store.shardsOf(JOB);
  for (const { index, state, output, decided } of shards) {
    expect(state).toBe('sealed');
    expect(decided?.belief).toBeGreaterThanOrEqual(0.999);
    expect(output?.sha256).toBe(sha256Hex(encoder.encode(`the result of shard ${index}`)));
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

describe('a job that goes by belief', () => {
  it('is done by one trusted device alone, once each', async () => {
    await play(1, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      await grid.submit(JOB, 20, 1, TRUST);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectRight(stage, grid);
      expect(await grid.store.votesOf(JOB, null)).toHaveLength(20);
    });
  });

  it('is decided by the trusted device at once when no other owner is left', async () => {
    await play(2, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      await grid.addDevice('aa', honest, { owner: 'ann' });
      await grid.addDevice('bb', honest, { owner: 'ann' });
      await grid.submit(JOB, 30, 1, TRUST);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectRight(stage, grid);
      for (const { index } of await grid.store.shardsOf(JOB)) {
        const devices = (await grid.store.votesOf(JOB, index)).map((v) => v.device.slice(4, 6));
        expect(devices.filter((d) => d === 'aa' || d === 'bb').length, 'two devices of one owner are one voice').toBeLessThan(2);
      }
    });
  });

  it('fails with the best belief when nobody trusted is there and too few owners', async () => {
    await play(3, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 4, 1, TRUST);
      expect(await runToEnd(stage, grid)).toBe('failed');
      expect((await grid.store.findJob(JOB))?.reason).toMatch(
        /shard \d: target unreachable: the best belief is 0.985, by 3 of 3 votes; the job asks for 0.999. 2 more devices/,
      );
    });
  });

  it('goes on when the missing owners come in time', async () => {
    await play(4, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc', 'dd']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 2, 1, TRUST);
      await stage.host.advance(3_000);
      await grid.addDevice('ee', honest);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectRight(stage, grid);
    });
  });

  it.each([11, 12, 13])('accepts nothing that colluders say, and puts them into quarantine (seed %i)', async (seed) => {
    await play(seed, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, honest);
      for (const name of ['xx', 'yy', 'zz']) await grid.addDevice(name, together);
      await grid.submit(JOB, 60, 1, TRUST);
      expect(await runToEnd(stage, grid)).toBe('done');
      await expectRight(stage, grid);
      const standings = await grid.store.standings({ app: (await grid.store.findJob(JOB))?.spec.module.sha256 ?? '' });
      const expelled = standings.filter((s) => s.quarantine !== null).map((s) => s.device.slice(4, 6));
      expect(expelled.length).toBeGreaterThan(0);
      expect(['xx', 'yy', 'zz']).toEqual(expect.arrayContaining(expelled));
      const late = (await grid.store.votesOf(JOB, null)).filter((v) => v.refusal !== null);
      for (const { refusal } of late) expect(refusal).toMatch(/quarantine/);
    });
  });

  it.each([21, 22, 23, 24])('is settled with devices that come and go (seed %i)', async (seed) => {
    await play(seed, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      for (const name of ['aa', 'bb', 'cc', 'dd']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 30, 1, TRUST);
      const state = await runToEnd(stage, grid, () => {
        for (const device of grid.devices) {
          const dice = stage.host.random();
          if (device.connected && dice < 0.15) device.cut({ loseWork: dice < 0.08 });
          else if (!device.connected && dice < 0.5) device.connect();
        }
      });
      expect(state).toBe('done');
      await expectRight(stage, grid);
    });
  });

  it('reviews the map before it merges, and seals both', async () => {
    await play(31, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, honest);
      await grid.submit(JOB, 12, 1, { ...TRUST, merge: true });
      expect(await runToEnd(stage, grid)).toBe('done');
      const shards = await grid.store.shardsOf(JOB);
      expect(shards.at(-1)?.output?.sha256).toBe(sha256Hex(encoder.encode('merged')));
    });
  });
});

describe('a job that counts votes', () => {
  it('is decided by a trusted device that is alone, and its receipts say so', async () => {
    await play(41, async (stage, grid) => {
      await grid.addDevice('core', honest, { trusted: true });
      await grid.submit(JOB, 5, 2);
      expect(await runToEnd(stage, grid)).toBe('done');
      const asked = grid.desk.receipts(JOB, 'all', null);
      await stage.host.settle();
      for (const receipt of await asked) {
        expect(receipt.manifest).toMatchObject({ version: 2, quorum: 2, maxError: null });
        expect(receipt.leaf).toMatchObject({ by: 'core', belief: null });
        expect(verifyReceipt(receipt, { sha256, verify }).ok).toBe(true);
      }
    });
  });
});

describe('a device that sends refused votes without end', () => {
  it('is answered each time and fills no table', async () => {
    await play(51, async (stage, grid) => {
      const flood = await grid.addDevice('flood', () => null);
      await grid.addDevice('core', honest, { trusted: true });
      await grid.submit(JOB, 3, 2);
      await stage.host.advance(1_000);
      const output = { sha256: 'a'.repeat(64), size: 1 };
      for (let seq = 1; seq <= 400; seq++) {
        const fence = { epoch: 1, seq: 10_000 + seq };
        const vote = {
          type: 'vote',
          job: JOB,
          shard: 0,
          output,
          bytes: new Uint8Array(1),
          seconds: 0,
          signature: '0'.repeat(128),
        } as const;
        flood.send({ ...vote, fence });
      }
      await stage.host.advance(5_000);
      expect(flood.settled.filter(({ outcome }) => outcome === 'refused')).toHaveLength(400);
      expect((await grid.store.votesOf(JOB, null)).filter((v) => v.refusal !== null)).toHaveLength(REFUSALS_KEPT);
    });
  });
});

describe('a device that was shut out', () => {
  it('is not counted when the job is sealed: others vote in its place, and receipts hold against the list of former keys', async () => {
    await play(31, async (stage, grid) => {
      for (const name of ['aa', 'bb']) await grid.addDevice(name, honest);
      // The job waits for its last shard until the device is gone.
      let gone = false;
      await grid.addDevice('cc', (command, device) => (gone || command.shard < 8 ? honest(command, device) : null));
      await grid.submit(JOB, 10, 3);
      for (let passed = 0; passed < 20_000; passed += 100) await stage.host.advance(100);
      const revoked = (await grid.store.listDevices()).find(({ id }) => id.startsWith('dev-bb'))?.id ?? '';
      expect((await grid.store.votesOf(JOB, null)).some(({ device }) => device === revoked)).toBe(true);
      await grid.store.setDeviceState(revoked, null, 'revoked', stage.host.clock.wall());
      gone = true;
      await grid.addDevice('dd', honest);
      await grid.addDevice('ee', honest);
      await grid.addDevice('ff', honest);
      expect(await runToEnd(stage, grid)).toBe('done');
      const list: KeyList = { version: 1, gridKey: grid.key.publicKey, at: 0, keys: [...(await grid.store.formerKeys())] };
      const formerKeys = { list, signature: Buffer.from(grid.key.sign(keyListBytes(list))).toString('hex') };
      const asked = grid.desk.receipts(JOB, 'all', null);
      await stage.host.settle();
      for (const receipt of await asked) {
        expect(verifyReceipt(receipt, { sha256, verify, formerKeys }).checks.filter((check) => !check.ok)).toEqual([]);
      }
    });
  });
});

describe('a job whose results may differ a little', () => {
  const near: Answer = ({ shard }, { id }) => ({ output: encoder.encode(`{"of":${shard},"x":${1 + (id.charCodeAt(4) % 8) * 1e-5}}`) });
  const far: Answer = ({ shard }) => ({ output: encoder.encode(`{"of":${shard},"x":1.5}`) });
  const trust = { quorum: 2, comparator: { type: 'absolute', tolerance: 1e-3, format: 'json' } } as const;

  it('takes near results for one, seals the first of them, and its receipts compare them again', async () => {
    await play(21, async (stage, grid) => {
      for (const name of ['aa', 'bb', 'cc']) await grid.addDevice(name, near);
      await grid.addDevice('dd', far);
      await grid.submit(JOB, 12, 2, { trust });
      expect(await runToEnd(stage, grid)).toBe('done');
      const asked = grid.desk.receipts(JOB, 'all', null);
      await stage.host.settle();
      const receipts = await asked;
      expect(receipts).toHaveLength(12);
      for (const receipt of receipts) {
        const verdict = verifyReceipt(receipt, { sha256, verify });
        expect(verdict.checks.filter((check) => !check.ok)).toEqual([]);
        expect(receipt.manifest).toMatchObject({ version: 2, maxError: null, comparator: trust.comparator });
        expect(receipt.leaf.votes[0]?.output).toBeUndefined();
        expect(new Set(receipt.leaf.votes.map(({ device }) => device)).size).toBe(2);
      }
      const differing = receipts.filter(({ outputs }) => outputs !== undefined);
      expect(differing.length, 'devices of different names differ in their bytes').toBeGreaterThan(0);
      for (const receipt of differing) {
        // Other bytes under the same name, a tolerance that the grid did not sign, a word that was left out.
        const forged = { ...receipt, outputs: { ...receipt.outputs, [receipt.leaf.output.sha256]: btoa('{"x":9}') } };
        expect(verifyReceipt(forged, { sha256, verify }).ok).toBe(false);
        const { comparator: _comparator, ...manifest } = { comparator: null, ...receipt.manifest };
        expect(verifyReceipt({ ...receipt, manifest }, { sha256, verify }).ok).toBe(false);
        const { outputs: _outputs, ...silent } = receipt;
        expect(verifyReceipt(silent, { sha256, verify })).toMatchObject({
          ok: true,
          warnings: [expect.stringMatching(/compared by the grid/), expect.anything()],
        });
      }
    });
  });

  it('believes them by the same rule, and strikes those that are further off', async () => {
    await play(22, async (stage, grid) => {
      await grid.addDevice('core', near, { trusted: true });
      for (const name of ['aa', 'bb']) await grid.addDevice(name, near);
      await grid.addDevice('dd', far);
      await grid.submit(JOB, 20, 1, { trust: { maxError: 1e-3, comparator: trust.comparator } });
      expect(await runToEnd(stage, grid)).toBe('done');
      for (const { output, index } of await grid.store.shardsOf(JOB)) {
        const votes = await grid.store.votesOf(JOB, index);
        const accepted = votes.find((vote) => vote.output.sha256 === output?.sha256);
        expect(new TextDecoder().decode(accepted?.bytes ?? new Uint8Array())).not.toContain('1.5');
      }
    });
  });
});
