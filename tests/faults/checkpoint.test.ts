import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { JobSpec } from '#actors/contract/job-spec.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { exampleModule, runModule } from '#tests/support/run-module.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { startAgents, startTestGrid, untilPresent } from './grid-under-test.ts';

const STEPS = 200;
/** Seven seconds on a quiet machine of two cores: the kill must fall into the middle. */
const ARGS = [String(STEPS), '16000000', '7'];
const MODULE = exampleModule('long-walk');
const FILE = path.join(path.dirname(path.dirname(import.meta.dirname)), 'examples', 'long-walk', 'long-walk.wasm');

/** Fields of the coordinator's log lines with this text. */
function said(output: string, text: string): { steps: number; device: string; of?: string }[] {
  const lines = output.split('\n').filter((line) => line.includes(text));
  return lines.map((line) => JSON.parse(line) as { steps: number; device: string; of?: string });
}

describe('a checkpoint', () => {
  it('lets another agent go on where a killed one was, to the same bytes', { timeout: 400_000 }, async () => {
    const grid = await startTestGrid({ logLevel: 'info' });
    const [first] = await startAgents(grid, ['a']);
    const module = { sha256: sha256Hex(MODULE), size: MODULE.length };
    await grid.client.upload(module, { file: FILE });
    const spec = JobSpec.parse({
      version: 1,
      name: 'walk',
      kind: 'wasm',
      module,
      args: ARGS,
      shards: { count: 1 },
      checkpoint: { everySeconds: 1 },
      limits: { memoryMiB: 1, timeoutSeconds: 300, outputMiB: 1 },
      quorum: 1,
    });
    const { id } = await grid.client.submit({ id: randomUUID(), spec });
    await waitUntil('a checkpoint is kept', () => said(grid.coordinator.output(), 'checkpoint kept').length >= 2, 90_000);
    await first?.kill();
    const [, kept] = said(grid.coordinator.output(), 'checkpoint kept');
    expect((await grid.client.job(id)).state).toBe('running');

    const second = await grid.startAgent('b');
    await untilPresent(grid, [second.device]);
    await waitUntil('the job is done', async () => (await grid.client.job(id)).state === 'done', 200_000);

    const [taken] = said(grid.coordinator.output(), 'a shard goes on from a checkpoint');
    expect(taken).toMatchObject({ device: second.device, of: first?.device });
    // What the first agent had done by then was not run again.
    expect(taken?.steps).toBeGreaterThanOrEqual(kept?.steps ?? STEPS);
    expect(taken?.steps).toBeLessThan(STEPS);
    const output = await (await grid.client.output(id, 0)).arrayBuffer();
    expect(Buffer.from(output).equals(runModule(MODULE, ARGS).output)).toBe(true);
  });
});
