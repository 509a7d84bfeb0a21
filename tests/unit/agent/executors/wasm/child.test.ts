import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import type { AttemptRequest } from '#agent/executors/wasm/attempt-protocol.ts';
import { CHILD, childCommand } from '#agent/executors/wasm/child-command.ts';
import { buildModule, FOREVER } from '#tests/support/module-builder.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

async function files(): Promise<{ modulePath: string; inputPath: string; outputPath: string; secret: string }> {
  const folder = await temporaryFolder('child');
  const at = (name: string): string => path.join(folder, name);
  writeFileSync(at('secret'), 'the key');
  writeFileSync(at('input'), '');
  return { modulePath: at('module'), inputPath: at('input'), outputPath: at('output'), secret: at('secret') };
}

describe('the process of an attempt', () => {
  it('may do nothing but read its files and write its output', async () => {
    const { secret, ...request } = await files();
    writeFileSync(request.modulePath, 'the module');
    const { file, args, cwd } = childCommand(fileURLToPath(new URL('../../../../support/permission-probe.ts', import.meta.url)), request);
    const child = spawn(file, args, { cwd, env: {}, stdio: ['pipe', 'pipe', 'ignore'] });
    child.stdin.end(`${secret}\n${request.inputPath}\n${request.modulePath}\n`);
    const [answer, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    expect(code).toBe(0);
    expect(JSON.parse(answer)).toEqual({ through: [], module: 'the module' });
  });

  it('kills itself when it takes more memory than the module explains', async () => {
    const { secret: _, ...paths } = await files();
    writeFileSync(paths.modulePath, buildModule({ start: FOREVER }));
    const { file, args, cwd } = childCommand(CHILD, paths);
    const child = spawn(file, args, { cwd, env: {}, stdio: ['pipe', 'pipe', 'ignore'] });
    // No Node fits into 10 MiB.
    const request: AttemptRequest = { ...paths, args: [], memoryMiB: 16, outputMiB: 1, processMiB: 10 };
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const [answer, [, signal]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    expect(signal).toBe('SIGKILL');
    expect(JSON.parse(answer)).toEqual({
      ok: false,
      reason: expect.stringMatching(/^the attempt's process took \d+ MiB of memory$/) as string,
    });
  });

  it('ends when nobody ever sends it a request', async () => {
    const { file, args, cwd } = childCommand(CHILD, await files());
    const child = spawn(file, args, { cwd, env: {}, stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.end('{"modulePath":');
    expect(await once(child, 'close')).toEqual([null, 'SIGKILL']);
  });
});
