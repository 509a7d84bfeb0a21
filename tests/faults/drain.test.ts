import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { JobSpec } from '#actors/contract/job-spec.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { exampleModule, runModule } from '#tests/support/run-module.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { startAgents, startTestGrid, untilPresent } from './grid-under-test.ts';

const ARGS = ['200', '16000000', '7'];
const MODULE = exampleModule('long-walk');
const FILE = path.join(path.dirname(path.dirname(import.meta.dirname)), 'examples', 'long-walk', 'long-walk.wasm');

describe('a machine that is drained', () => {
  it(
    'leaves a checkpoint of what its grace does not suffice for, says when it is empty, and works again when undrained',
    { timeout: 400_000 },
    async () => {
      const grid = await startTestGrid({ logLevel: 'info' });
      const [first] = await startAgents(grid, ['a']);
      const device = first?.device ?? '';
      const module = { sha256: sha256Hex(MODULE), size: MODULE.length };
      await grid.client.upload(module, { file: FILE });
      const spec = JobSpec.parse({
        version: 1,
        name: 'walk',
        kind: 'wasm',
        module,
        args: ARGS,
        shards: { count: 1 },
        // Nobody makes one of himself while the test lasts.
        checkpoint: { everySeconds: 86_400 },
        limits: { memoryMiB: 1, timeoutSeconds: 300, outputMiB: 1 },
        quorum: 1,
      });
      const { id } = await grid.client.submit({ id: randomUUID(), spec });
      await waitUntil('it runs', async () => (await grid.client.device(device)).running === 1, 60_000);
      const drained = await grid.corpgrid('drain', device, '--grace', '2', '--json');
      expect([drained.code, JSON.parse(drained.stdout)]).toMatchObject([0, { id: device, state: 'draining' }]);
      await waitUntil('it is empty', async () => (await grid.client.device(device)).drained === true, 60_000);
      expect((await grid.corpgrid('devices')).stdout).toMatch(/ drained /);
      // Nobody else is there, and a drained machine gets nothing.
      const attempts = async (): Promise<string[][]> => (await grid.client.shard(id, 0)).attempts.map((a) => [a.device, a.state]);
      await waitUntil('its shard was given back', async () => (await attempts())[0]?.[1] === 'released', 60_000);
      expect([await attempts(), (await grid.client.job(id)).state]).toEqual([[[device, 'released']], 'running']);

      const second = await grid.startAgent('b');
      await untilPresent(grid, [second.device]);
      await waitUntil('the job is done', async () => (await grid.client.job(id)).state === 'done', 200_000);
      expect(grid.coordinator.output()).toContain('a shard goes on from a checkpoint');
      expect(await attempts()).toEqual([
        [device, 'released'],
        [second.device, 'voted'],
      ]);
      const output = await (await grid.client.output(id, 0)).arrayBuffer();
      expect(Buffer.from(output).equals(runModule(MODULE, ARGS).output)).toBe(true);

      const back = JSON.parse((await grid.corpgrid('undrain', device, '--json')).stdout) as object;
      expect(back).toMatchObject({ state: 'present' });
      expect(back).not.toHaveProperty('drained');
    },
  );
});
