import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { describe, expect, it, onTestFinished } from 'vitest';

import { inspectModelFile } from '#agent/executors/inference/model-file.ts';
import { encodeGguf } from '#tests/support/gguf/gguf-writer.ts';
import { tinyLlama, writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { modelOnTrial } from './model-on-trial.ts';
import { childrenOf, isAlive } from './processes.ts';

describe('a host that is killed', () => {
  it('ends all its generations with a failure to try again, and the model can be loaded anew', async () => {
    const { model, states, generate } = await modelOnTrial();
    await model.load();
    const running = [generate('a', { maxTokens: 100_000 }), generate('b', { maxTokens: 100_000 }), generate('waits', { maxTokens: 5 })];
    await Promise.all([running[0]?.arrived(10), running[1]?.arrived(10)]);
    process.kill(model.pid ?? 0, 'SIGKILL');
    for (const { ended, ids } of running) {
      expect(await ended).toEqual({
        outcome: 'failed', code: 'HOST_LOST', reason: 'the inference host ended by SIGKILL', promptTokens: 0, completionTokens: ids.length, retryable: true,
      }); // prettier-ignore
    }
    await waitUntil('the state is told', () => states.at(-1)?.[0] === 'failed');
    expect(model.memoryBytes).toBe(0);
    await model.load();
    expect(await generate('again', { maxTokens: 3 }).ended).toMatchObject({ outcome: 'length' });
  });

  it('fails its loading, and leaves no process behind', async () => {
    const { model, states } = await modelOnTrial();
    const loading = model.load();
    await waitUntil(
      'the engine tries its binary in a process of its own',
      () => model.pid !== undefined && childrenOf(model.pid).length > 0,
    );
    const helpers = childrenOf(model.pid ?? 0);
    process.kill(model.pid ?? 0, 'SIGKILL');
    await expect(loading).rejects.toMatchObject({ code: 'MODEL_FAILED', message: expect.stringContaining('SIGKILL') });
    expect(states.at(-1)?.[0]).toBe('failed');
    await waitUntil('its helpers are gone', () => !helpers.some(isAlive));
    await model.load();
  });
});

describe('a host that falls silent', () => {
  it('is killed when work is due', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { silenceMs: 700 } });
    await model.load();
    const answer = generate('a', { maxTokens: 100_000 });
    await answer.arrived(5);
    process.kill(model.pid ?? 0, 'SIGSTOP');
    expect(await answer.ended).toMatchObject({ outcome: 'failed', code: 'HOST_SILENT', retryable: true });
    expect(model.pid).toBeUndefined();
  });

  it('is killed when it does not even take the work', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { silenceMs: 700 } });
    await model.load();
    process.kill(model.pid ?? 0, 'SIGSTOP');
    expect(await generate('a').ended).toMatchObject({ outcome: 'failed', code: 'HOST_SILENT', retryable: true });
  });

  it('is left alone when nobody grants credit', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { silenceMs: 300, credit: 4 } });
    await model.load();
    const { pid } = model;
    const answer = generate('a', { maxTokens: 8 }, { credit: false });
    await answer.arrived(4);
    const from = performance.now();
    await waitUntil('a silence has passed twice', () => performance.now() - from > 600);
    answer.handle.credit(100);
    expect(await answer.ended).toMatchObject({ outcome: 'length', completionTokens: 8 });
    expect(model.pid).toBe(pid);
  });
});

describe('unloading', () => {
  it('lets running answers finish first', async () => {
    const { model, generate } = await modelOnTrial();
    await model.load();
    const answer = generate('a', { maxTokens: 300 });
    await answer.arrived(1);
    await model.unload();
    expect(await answer.ended).toMatchObject({ outcome: 'length', completionTokens: 300 });
  });

  it('hands back what does not finish in time', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { drainMs: 50, credit: 4 } });
    await model.load();
    const answer = generate('a', { maxTokens: 100 }, { credit: false });
    await answer.arrived(4);
    await model.unload();
    expect(await answer.ended).toMatchObject({ outcome: 'failed', code: 'UNLOADED', retryable: true, completionTokens: 4 });
  });

  it('kills a host that does not end', async () => {
    const { model, states, generate } = await modelOnTrial({}, { limits: { drainMs: 50, killMs: 300 } });
    await model.load();
    const answer = generate('a', { maxTokens: 100_000 });
    await answer.arrived(4);
    process.kill(model.pid ?? 0, 'SIGSTOP');
    await model.unload();
    expect(await answer.ended).toMatchObject({ outcome: 'failed', code: 'UNLOADED', retryable: true });
    expect(states.at(-1)).toEqual(['unloaded', 0, undefined]);
  });

  it('gives up a loading', async () => {
    const { model, states } = await modelOnTrial();
    const loading = model.load().catch((error: unknown) => error);
    await waitUntil('there is a process', () => model.pid !== undefined);
    await model.unload();
    expect(await loading).toMatchObject({ code: 'MODEL_FAILED', message: expect.stringContaining('unloaded') });
    expect(states.at(-1)).toEqual(['unloaded', 0, undefined]);
  });

  it('gives up the reading of the file before it', async () => {
    const { model, states } = await modelOnTrial();
    const loading = model.load().catch((error: unknown) => error);
    await model.unload();
    expect(await loading).toMatchObject({ code: 'CONFLICT' });
    expect(states.map(([state]) => state)).toEqual(['loading', 'unloaded']);
  });
});

describe('loading refuses', () => {
  it('a file with another hash, before any process sees it', async () => {
    const { model, states } = await modelOnTrial({}, { sha256: '0'.repeat(64) });
    await expect(model.load()).rejects.toMatchObject({ code: 'HASH_MISMATCH' });
    expect(model.pid).toBeUndefined();
    expect(states.map(([state]) => state)).toEqual(['loading', 'failed']);
  });

  it('a file that changed since it was offered', async () => {
    const { modelPath } = await modelOnTrial();
    const file = await inspectModelFile(modelPath);
    writeTinyLlama(modelPath, { seed: 2 });
    const { model } = await modelOnTrial(modelPath, { file });
    await expect(model.load()).rejects.toMatchObject({ code: 'HASH_MISMATCH' });
  });

  it('a file that is not sound, before any process sees it', async () => {
    const { model, modelPath } = await modelOnTrial();
    writeFileSync(modelPath, encodeGguf(tinyLlama()).subarray(0, 100_000));
    await expect(model.load()).rejects.toMatchObject({ code: 'MODEL_FAILED', path: expect.stringContaining('tensors.') });
    expect(model.pid).toBeUndefined();
  });

  it('a model that the engine cannot use, with its reason', async () => {
    const { model, modelPath, states } = await modelOnTrial();
    const content = tinyLlama();
    writeFileSync(modelPath, encodeGguf({ ...content, tensors: content.tensors.slice(0, -1) }));
    await expect(model.load()).rejects.toMatchObject({ code: 'MODEL_FAILED' });
    expect(states.at(-1)?.[0]).toBe('failed');
    writeTinyLlama(modelPath);
    await model.load();
  });

  it('a model without a chat template', async () => {
    const { model } = await modelOnTrial({ withoutTemplate: true });
    await expect(model.load()).rejects.toMatchObject({ code: 'MODEL_FAILED', message: expect.stringContaining('no chat template') });
  });

  it('to be asked twice', async () => {
    const { model } = await modelOnTrial();
    const first = model.load();
    await expect(model.load()).rejects.toMatchObject({ code: 'CONFLICT' });
    await first;
    await expect(model.load()).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

it('a host ends when its agent is killed in the middle of an answer', async () => {
  const modelPath = path.join(await temporaryFolder('inference'), 'tiny.gguf');
  writeTinyLlama(modelPath);
  const agent = spawn(process.execPath, [fileURLToPath(new URL('./agent-process.ts', import.meta.url)), modelPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    agent.kill('SIGKILL');
  });
  const pid = await new Promise<number>((resolve) => {
    createInterface({ input: agent.stdout }).once('line', (line) => resolve(Number(line)));
  });
  expect(isAlive(pid)).toBe(true);
  agent.kill('SIGKILL');
  await waitUntil('the host is gone too', () => !isAlive(pid));
});
