import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { argumentsOf, JobSpec, mapShardCount } from '#actors/contract/job-spec.ts';
import type { JobSummary } from '#actors/contract/live.ts';
import { createWasmExecutor } from '#agent/executors/wasm/wasm-executor.ts';
import { isOver } from '#bin/client/follow-job.ts';
import type { GridClient } from '#bin/client/grid-client.ts';
import { GridError } from '#runtime/errors.ts';
import { realHost } from '#runtime/host.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

/** A picture small enough for a test, in tiles slow enough that a fault hits in the middle of one. */
export interface Picture {
  readonly side: number;
  readonly tile: number;
  /** Paths for each pixel: what makes a tile take its time. */
  readonly samples: number;
  /** Default 2. */
  readonly quorum?: number;
}

/** What a picture's job must come to. */
export interface Painted {
  readonly tiles: readonly Uint8Array[];
  readonly result: Uint8Array;
}

const MODULE = path.join(path.dirname(path.dirname(import.meta.dirname)), 'examples', 'render', 'render.wasm');
/** Attempts painted at once without a grid. */
const AT_ONCE = 2;

async function specOf({ side, tile, samples, quorum = 2 }: Picture): Promise<JobSpec> {
  const bytes = await readFile(MODULE);
  const module = { sha256: sha256Hex(bytes), size: bytes.length };
  const size = ['--width', String(side), '--height', String(side), '--tile', String(tile)];
  return JobSpec.parse({
    version: 1,
    name: 'fault',
    kind: 'wasm',
    module,
    args: [...size, '--samples', String(samples), '--shard', '{shard}'],
    shards: { count: Math.ceil(side / tile) ** 2 },
    merge: { module, args: ['merge', ...size] },
    limits: { memoryMiB: 64, timeoutSeconds: 60, outputMiB: 1 },
    quorum,
  });
}

export async function submitPicture(client: GridClient, picture: Picture): Promise<string> {
  const spec = await specOf(picture);
  await client.upload(spec.module, { file: MODULE });
  return (await client.submit({ id: randomUUID(), spec })).id;
}

/** The same work without a grid: each shard once, in this process's own executor, nobody to fail. */
export async function paintAlone(picture: Picture): Promise<Painted> {
  const spec = await specOf(picture);
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-alone-'));
  const executor = createWasmExecutor(realHost());

  async function run(index: number, input: Uint8Array): Promise<Uint8Array> {
    const place = path.join(folder, String(index));
    await mkdir(place);
    const [inputPath, outputPath] = [path.join(place, 'input'), path.join(place, 'output')];
    await writeFile(inputPath, input);
    const request = { modulePath: MODULE, args: argumentsOf(spec, index), inputPath, outputPath, limits: spec.limits };
    const done = await executor.run({ ...request, signal: new AbortController().signal });
    if (!done.ok) throw new Error(`shard ${index} without a grid: ${done.reason}`);
    return readFile(outputPath);
  }

  try {
    const shards = mapShardCount(spec);
    const tiles: Uint8Array[] = [];
    let next = 0;
    const painter = async (): Promise<void> => {
      for (let index = next++; index < shards; index = next++) tiles[index] = await run(index, new Uint8Array());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, painter));
    return { tiles, result: await run(shards, framed(tiles)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** As the merge shard reads it: each part after its length. */
function framed(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      return [length, part];
    }),
  );
}

/** Some shards are accepted and others are under way: the middle of the job, where a fault should hit. */
export async function untilMidJob(client: GridClient, id: string): Promise<void> {
  await waitUntil(
    'the job is under way',
    async () => {
      const { state, counts } = await client.job(id);
      if (state !== 'queued' && state !== 'running') throw new Error(`the job is ${state} before anything could happen to it`);
      return counts.provisional >= 2 && counts.leased + counts.voting > 0;
    },
    60_000,
  );
}

/** The job's last summary. A coordinator or database that is away meanwhile is waited for. */
export async function untilOver(client: GridClient, id: string, withinMs = 90_000): Promise<JobSummary> {
  let last: JobSummary | undefined;
  let trouble = '';
  try {
    await waitUntil(
      'the job is over',
      async () => {
        try {
          last = await client.job(id);
          return isOver(last);
        } catch (error) {
          if (!(error instanceof GridError) || error.status < 500) throw error;
          trouble = error.message;
          return false;
        }
      },
      withinMs,
    );
  } catch (error) {
    throw new Error(`the job did not end: ${JSON.stringify(last)} ${trouble}`, { cause: error });
  }
  if (last === undefined) throw new Error('nobody said how the job ended');
  return last;
}
