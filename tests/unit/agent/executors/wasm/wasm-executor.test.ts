import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it } from 'vitest';

import type { ExecutorRequest } from '#agent/executors/executor.ts';
import { createWasmExecutor, type ExecutorHost } from '#agent/executors/wasm/wasm-executor.ts';
import { realHost } from '#runtime/host.ts';
import { buildModule, call, FOREVER, i32, store, WASI, writeOut } from '#tests/support/module-builder.ts';
import { childrenOf, isAlive } from '#tests/support/process-list.ts';
import { exampleModule } from '#tests/support/run-module.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

const { fd_write, proc_exit } = WASI;
const executor = createWasmExecutor(realHost());
const LIMITS = { memoryMiB: 16, timeoutSeconds: 60, outputMiB: 1 };

/** Writes more than the child buffers, so that the output file tells when the module runs; then never ends. */
const SPINNER = buildModule({ imports: [fd_write], memory: [1, 0, 2], start: [...writeOut(0, { from: 0, length: 100_000 }), ...FOREVER] });

async function requestFor(
  module: Uint8Array,
  { input = '', ...more }: Partial<ExecutorRequest> & { input?: string } = {},
): Promise<ExecutorRequest> {
  const folder = await temporaryFolder('executor');
  const [modulePath, inputPath, outputPath] = ['module', 'input', 'output'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(modulePath, module);
  writeFileSync(inputPath, input);
  return { modulePath, inputPath, outputPath, args: [], limits: LIMITS, signal: new AbortController().signal, ...more };
}

const running = (file: string) => (): boolean => existsSync(file) && statSync(file).size > 0;

async function reasonOf(request: ExecutorRequest, by = executor): Promise<string> {
  const result = await by.run(request);
  expect(existsSync(request.outputPath)).toBe(false);
  return result.ok ? 'it succeeded' : result.reason;
}

afterEach(async () => {
  // Node drops the handle of a process one turn after its exit.
  await waitUntil('no process is left', () => !process.getActiveResourcesInfo().includes('ProcessWrap'), 1000);
});

describe('an attempt', () => {
  it('turns its input into its output', async () => {
    const request = await requestFor(exampleModule('word-count'), { args: ['count'], input: 'The grid, the GRID: the end.' });
    const result = await executor.run(request);
    expect(result).toEqual({ ok: true, size: 19, seconds: expect.any(Number) as number });
    expect(readFileSync(request.outputPath, 'utf8')).toBe('end\t1\ngrid\t2\nthe\t3\n');
  });

  it('gives the same bytes twice, side by side', async () => {
    const input = Array.from({ length: 20_000 }, (_, i) => `w${String.fromCharCode(97 + (i % 26), 97 + ((i * 7) % 25))}`).join(' ');
    const requests = await Promise.all([1, 2].map(() => requestFor(exampleModule('word-count'), { args: ['count'], input })));
    const results = await Promise.all(requests.map((request) => executor.run(request)));
    expect(results.map(({ ok }) => ok)).toEqual([true, true]);
    const [first, second] = requests.map(({ outputPath }) => readFileSync(outputPath));
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(true);
  });

  it('may write nothing', async () => {
    const request = await requestFor(buildModule());
    expect(await executor.run(request)).toMatchObject({ ok: true, size: 0 });
    expect(statSync(request.outputPath).size).toBe(0);
  });

  it('takes paths and arguments with any characters', async () => {
    const folder = path.join(await temporaryFolder('executor'), 'it\'s, a "path" – *');
    const request = await requestFor(exampleModule('word-count'), { args: ['count\n"'] });
    mkdirSync(folder);
    renameSync(request.modulePath, path.join(folder, 'module'));
    expect(await reasonOf({ ...request, modulePath: path.join(folder, 'module'), outputPath: path.join(folder, 'out') })).toMatch(
      /usage: word-count/,
    );
  });
});

describe('a failed attempt', () => {
  it('is one that exits with a code, whatever it wrote, and tells its last words', async () => {
    const words = [...store(0, i32(0x6b6f6f6c)), ...writeOut(0, { descriptor: 2, from: 0, length: 4 })];
    const start = [...words, ...writeOut(0, { from: 0, length: 4 }), ...call(1, i32(3))];
    const request = await requestFor(buildModule({ imports: [fd_write, proc_exit], start }));
    expect(await reasonOf(request)).toBe('the module ended with exit code 3; its stderr ends: look');
  });

  it('is one that traps', async () => {
    expect(await reasonOf(await requestFor(buildModule({ start: [0x00] })))).toMatch(
      /^the module trapped: unreachable in wasm-function\[0\]/,
    );
  });

  it('is one that runs out of stack', async () => {
    expect(await reasonOf(await requestFor(buildModule({ start: call(0) })))).toBe('the module ran out of stack');
  });

  it('is one that writes too much', async () => {
    const start = [0x03, 0x40, ...writeOut(0, { from: 0, length: 60_000 }), 0x0c, 0, 0x0b];
    expect(await reasonOf(await requestFor(buildModule({ imports: [fd_write], start })))).toBe(
      'it wrote more than 1 MiB (limits.outputMiB)',
    );
  });

  it('is one whose module is refused, with the reason', async () => {
    expect(await reasonOf(await requestFor(Buffer.from('#!/bin/sh')))).toBe(
      'the module is refused: this is not a core WebAssembly module (version 1)',
    );
    const imports = [{ name: 'abort', module: 'env', parameters: [], results: [] }];
    expect(await reasonOf(await requestFor(buildModule({ imports })))).toMatch(/imports env\.abort/);
  });

  it('is one whose files are not there', async () => {
    const request = await requestFor(buildModule());
    expect(await reasonOf({ ...request, modulePath: `${request.modulePath}-gone` })).toMatch(/ENOENT/);
    expect(await reasonOf({ ...request, inputPath: `${request.inputPath}-gone` })).toMatch(/ENOENT/);
  });

  it('is one that the system cannot start, and is told like any other', async () => {
    const request = await requestFor(buildModule());
    expect(await reasonOf({ ...request, inputPath: `/${'x'.repeat(3_000_000)}` })).toMatch(
      /^the attempt cannot run here: .*E2BIG|ENAMETOOLONG/,
    );
  });

  it('is one whose output file was there before', async () => {
    const request = await requestFor(buildModule());
    writeFileSync(request.outputPath, 'older');
    expect(await reasonOf(request)).toMatch(/EEXIST/);
  });
});

describe('limits', () => {
  it('stop the memory from growing', async () => {
    // Grows by a page until it may not, then writes the number of pages.
    const grow = [0x03, 0x40, ...i32(1), 0x40, 0, ...i32(-1), 0x47, 0x0d, 0, 0x0b];
    const start = [...grow, ...i32(0), 0x3f, 0, 0x36, 2, 0, ...writeOut(0, { from: 0, length: 4 })];
    const request = await requestFor(buildModule({ imports: [fd_write], start }));
    expect(await executor.run(request)).toMatchObject({ ok: true, size: 4 });
    expect(readFileSync(request.outputPath).readUInt32LE()).toBe(LIMITS.memoryMiB * 16);
  });

  it('end an endless loop when its time is up', async () => {
    let ring: () => void = () => undefined;
    let cancelled = 0;
    const host: ExecutorHost = {
      clock: realHost().clock,
      scheduler: {
        ...realHost().scheduler,
        after: (ms, run) => {
          expect(ms).toBe(60_000);
          ring = run;
          return { cancel: () => (cancelled += 1) };
        },
      },
    };
    const request = await requestFor(SPINNER);
    const reason = reasonOf(request, createWasmExecutor(host));
    await waitUntil('the module runs', running(request.outputPath));
    ring();
    expect(await reason).toBe('it ran longer than 60 s (limits.timeoutSeconds)');
    expect(cancelled).toBe(1);
  });
});

describe('stopping', () => {
  it('ends a busy attempt at once', async () => {
    const abort = new AbortController();
    const request = await requestFor(SPINNER, { signal: abort.signal });
    const reason = reasonOf(request);
    await waitUntil('the module runs', running(request.outputPath));
    abort.abort();
    expect(await reason).toBe('stopped');
  });

  it('starts nothing when it came before', async () => {
    const request = await requestFor(buildModule(), { signal: AbortSignal.abort() });
    expect(await reasonOf(request)).toBe('stopped');
  });

  // `ps` tells who is whose child; Windows has none.
  it.runIf(process.platform !== 'win32')('the agent, even by kill -9, ends what it runs', async () => {
    const { modulePath, inputPath, outputPath } = await requestFor(SPINNER);
    const script = fileURLToPath(new URL('../../../../support/hold-executor.ts', import.meta.url));
    const agent = spawn(process.execPath, [script, modulePath, inputPath, outputPath], { stdio: 'ignore' });
    const gone = once(agent, 'exit');
    await waitUntil('the module runs', running(outputPath));
    const children = childrenOf(agent.pid ?? 0);
    expect(children.length).toBe(1);
    agent.kill('SIGKILL');
    await gone;
    await waitUntil('the child is gone', () => !children.some(isAlive), 5000);
  });
});
