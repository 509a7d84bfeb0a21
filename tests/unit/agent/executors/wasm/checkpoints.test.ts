import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { ExecutorCheckpoints, ExecutorRequest } from '#agent/executors/executor.ts';
import { readCheckpoint, writeCheckpoint } from '#agent/executors/wasm/checkpoint-file.ts';
import { createWasmExecutor } from '#agent/executors/wasm/wasm-executor.ts';
import { realHost } from '#runtime/host.ts';
import { exampleModule } from '#tests/support/run-module.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const WALK = exampleModule('long-walk');
const LIMITS = { memoryMiB: 1, timeoutSeconds: 60, outputMiB: 1 };
const OWNER = { module: createHash('sha256').update(WALK).digest('hex'), inputDigest: '1'.repeat(64) };
const executor = createWasmExecutor(realHost());

interface Made {
  readonly file: string;
  readonly steps: number;
}

interface Walk {
  readonly result: Awaited<ReturnType<typeof executor.run>>;
  readonly output: string;
  readonly made: readonly Made[];
}

async function walk(more: Partial<ExecutorCheckpoints> = {}, steps = '5', limits = LIMITS): Promise<Walk> {
  const folder = await temporaryFolder('checkpoints');
  const [modulePath, inputPath, outputPath, kept] = ['module', 'input', 'output', 'kept'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  writeFileSync(modulePath, WALK);
  writeFileSync(inputPath, '');
  mkdirSync(kept);
  const made: Made[] = [];
  const checkpoints = {
    everyMs: 0,
    folder: kept,
    ...OWNER,
    made: (file: string, at: number) => void made.push({ file, steps: at }),
    ...more,
  };
  const request: ExecutorRequest = {
    modulePath,
    inputPath,
    outputPath,
    args: [steps, '1000', '7'],
    limits,
    signal: new AbortController().signal,
    checkpoints,
  };
  const result = await executor.run(request);
  expect(readdirSync(kept).length).toBe(made.length);
  return { result, output: result.ok ? readFileSync(outputPath, 'utf8') : '', made };
}

/** A checkpoint after the second of five steps. */
async function second(): Promise<{ whole: Walk; bytes: Buffer }> {
  const whole = await walk();
  const [, file] = whole.made;
  return { whole, bytes: readFileSync(file?.file ?? '') };
}

async function resumed(bytes: Buffer, limits = LIMITS): Promise<Walk> {
  const folder = await temporaryFolder('checkpoint');
  const from = path.join(folder, 'from');
  writeFileSync(from, bytes);
  return walk({ from }, '5', limits);
}

/** The hash at the end put right, as somebody would who forges one. */
function rehashed(bytes: Buffer): Buffer {
  const body = bytes.subarray(0, -32);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

describe('checkpoints of a module that runs in steps', () => {
  it('are made between its steps, and another process goes on from one to the same bytes', async () => {
    const { whole, bytes } = await second();
    expect(whole.made.map(({ steps }) => steps)).toEqual([1, 2, 3, 4]);
    expect(whole.output.split('\n')).toHaveLength(6);
    const rest = await resumed(bytes);
    expect(rest.result.ok).toBe(true);
    expect(rest.output).toBe(whole.output);
    // Two steps were not run again.
    expect(rest.made.map(({ steps }) => steps)).toEqual([3, 4]);
  });

  it('are not made before it is time', async () => {
    expect((await walk({ everyMs: 3_600_000 })).made).toEqual([]);
  });

  it('are made before it is time when somebody asks, once for each time', async () => {
    const asked = await walk({ everyMs: 3_600_000, started: (makeOne) => makeOne() });
    expect(asked.made).toHaveLength(1);
    expect(asked.output).toBe((await walk()).output);
  });

  it.each<[string, RegExp, (bytes: Buffer) => Buffer]>([
    ['with a changed byte', /damaged/, (b) => (b.writeUInt8((b[2_000] ?? 0) ^ 1, 2_000), b)],
    ['cut short', /damaged/, (b) => b.subarray(0, -1)],
    ['that is no checkpoint', /no checkpoint/, () => Buffer.from('a')],
    ['of an older version', /version 0/, (b) => (b.writeUInt32LE(0, 8), rehashed(b))],
    ['of another module', /another module/, (b) => (b.fill(7, 12, 44), rehashed(b))],
    ['of another input', /another input/, (b) => (b.fill(7, 44, 76), rehashed(b))],
    ['with more memory than the limit', /memoryMiB/, (b) => (b.writeUInt32LE(17, 116), rehashed(b))],
    ['with less memory than the module begins with', /smaller/, (b) => emptied(b)],
    ['with a page outside its memory', /in order/, (b) => (b.writeUInt32LE(9_999, 132), rehashed(b))],
    ['with more pages than it has', /pages/, (b) => (b.writeUInt32LE(0xffffffff, 120), rehashed(b))],
    ['with an output of another length', /another length/, (b) => (b.writeBigUInt64LE(1n << 40n, 124), rehashed(b))],
    ['with a count that no number holds', /counts further/, (b) => (b.writeBigUInt64LE(1n << 60n, 76), rehashed(b))],
    ['larger than the limits', /larger than the limits/, (b) => Buffer.concat([b, Buffer.alloc(3 * 1024 * 1024)])],
  ])('are refused %s, and nothing runs', async (_what, reason, spoil) => {
    const { bytes } = await second();
    const { result, made } = await resumed(spoil(Buffer.from(bytes)));
    expect(result).toEqual({ ok: false, reason: expect.stringMatching(reason) as string, checkpointRefused: true });
    expect(made).toEqual([]);
  });

  it('survive being written and read', () => {
    const memory = new Uint8Array(3 * 65_536);
    memory[65_536 * 2] = 5;
    const progress = { steps: 3, inputRead: 17, nanoseconds: 99n, random: [1, 2, 3, 4] as const };
    const bytes = writeCheckpoint(OWNER, { ...progress, memory, output: Buffer.from('so far') });
    const opened = readCheckpoint(bytes, OWNER, LIMITS);
    expect(opened).toMatchObject({ ...progress, pages: 3 });
    expect([...opened.stored.keys()]).toEqual([2]);
    expect(Buffer.from(opened.output).toString()).toBe('so far');
    expect(bytes.length).toBeLessThan(70_000);
  });
});

function emptied(bytes: Buffer): Buffer {
  const head = Buffer.from(bytes.subarray(0, 132));
  head.writeUInt32LE(0, 116);
  head.writeUInt32LE(0, 120);
  head.writeBigUInt64LE(0n, 124);
  return rehashed(Buffer.concat([head, Buffer.alloc(32)]));
}
