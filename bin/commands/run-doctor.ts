import path from 'node:path';

import { checkGridUrl } from '#bin/client/grid-client.ts';
import { EXIT, say, sayJson } from '#bin/client/print.ts';
import { look, type Finding } from '#bin/doctor/finding.ts';
import { judgeNode } from '#bin/doctor/judgements.ts';
import { lookAtDisk, lookAtFolder, lookAtKey, lookAtLlama, lookAtPort } from '#bin/doctor/machine.ts';
import { lookAtDatabase, lookAtDatabaseClock, lookAtGrid, lookAtObjects, lookAtRedis } from '#bin/doctor/servers.ts';

import type { DoctorOptions } from './doctor-command.ts';
import { DEFAULT_URL, parseWhole } from './settings.ts';

/** Every look, in the order in which a start needs what it looks at. Exit code 1 when one failed. */
export async function runDoctor(options: DoctorOptions): Promise<void> {
  const [data, state] = [path.resolve(options.data), path.resolve(options.state)];
  const port = parseWhole(options.port, '--port', 1, 65_535);
  const url = checkGridUrl(options.url ?? process.env['CORPGRID_URL'] ?? DEFAULT_URL);
  const env = process.env;
  const grid = lookAtGrid(url);
  const findings = await Promise.all([
    look('node', () => judgeNode(process.version)),
    look('data folder', () => lookAtFolder(data)),
    look('disk space', () => lookAtDisk(data)),
    look('grid key', () => lookAtKey(path.join(data, 'keys'), 'grid')),
    look('database', () => lookAtDatabase(env, data)),
    look('database clock', () => lookAtDatabaseClock(env, data)),
    look('redis', () => lookAtRedis(env)),
    look('object store', () => lookAtObjects(env, data)),
    look('port', () => lookAtPort(options.listen, port)),
    look('agent folder', () => lookAtFolder(state)),
    look('device key', () => lookAtKey(path.join(state, 'keys'), 'device')),
    look('local device key', () => lookAtKey(path.join(data, 'local-agent', 'keys'), 'device')),
    look('model engine', () => lookAtLlama()),
    look('grid', async () => (await grid)[0]),
    look('grid clock', async () => (await grid)[1]),
  ]);
  const counts = { ok: 0, warn: 0, fail: 0 };
  for (const { state: found } of findings) counts[found] += 1;
  if (options.json === true) sayJson({ ...counts, findings });
  else sayFindings(findings, counts);
  process.exitCode = counts.fail > 0 ? EXIT.failed : EXIT.done;
}

function sayFindings(findings: readonly Finding[], counts: Readonly<Record<Finding['state'], number>>): void {
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, state, detail, fix } of findings) {
    say(`${state.padEnd(4)}  ${check.padEnd(width)}  ${detail}`);
    if (fix !== undefined) say(`${' '.repeat(width + 8)}fix: ${fix}`);
  }
  say(`${counts.ok} ok, ${counts.warn} warnings, ${counts.fail} failed`);
}
