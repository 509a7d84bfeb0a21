import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { missingTools, requiredTools } from './tools.ts';

/**
 * `npm test`: everything that can run here. What cannot for want of a tool is named, and is a failure when
 * CORPGRID_REQUIRE names that tool (as .ci/run does). Ends with `N passed, N failed`.
 */

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly unknown[];
  }[];
}

const ROOT = path.dirname(import.meta.dirname);
const folder = mkdtempSync(path.join(tmpdir(), 'corpgrid-test-'));
const reportFile = path.join(folder, 'report.json');
const vitest = path.join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');

const missing = missingTools();
for (const { name, without } of missing) process.stdout.write(`left out for want of ${name}: ${without}\n`);
const unmet = missing.filter(({ name }) => requiredTools().has(name));

const args = [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
const code = await new Promise<number>((resolve) => child.once('exit', (exit) => resolve(exit ?? 1)));

let passed = 0;
let failed = unmet.length;
let skipped = 0;
if (existsSync(reportFile)) {
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as VitestReport;
  passed = report.numPassedTests;
  skipped = report.numPendingTests;
  // A file that could not even be loaded has no tests to count, and is a failure all the same.
  failed += report.numFailedTests + report.testResults.filter((f) => f.status === 'failed' && f.assertionResults.length === 0).length;
}
rmSync(folder, { recursive: true, force: true });
if (code !== 0 && failed === 0) failed = 1;
for (const { name } of unmet) process.stdout.write(`FAILED: ${name} is required here (CORPGRID_REQUIRE) and not installed\n`);
process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
