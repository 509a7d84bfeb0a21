import { chromium } from '/work/main/node_modules/playwright-core/index.mjs';
import { readFileSync } from 'node:fs';
import { startFakeGrid } from '#tests/support/fake-grid.ts';
import { inventDevice, inventJob, START } from '#tests/support/invented-jobs.ts';
const only = process.argv[2] ?? '';
const now = Date.now();
const devices = Array.from({ length: 14 }, (_, n) => inventDevice(n, { lastSeenAt: now - (n%5)*900, ...(n === 5 ? { state: 'absent', load: null, lastSeenAt: now - 7_300_000 } : n === 4 ? { state: 'draining' } : n === 9 ? { state: 'enrolled', os: null, arch: null, cores: null, memoryBytes: null, slots: null, running: 0, load: null, lastSeenAt: null } : n === 10 ? { state: 'revoked', running: 0, load: null } : {}) }));
const at = (minutes) => now - minutes * 60_000;
const hash = (i) => ((i * 2654435761) >>> 0) % 100;
const atlas = inventJob({ name: 'render-atlas', shards: 640, devices, submittedAt: at(9), dissent: [37, 148, 241],
  reasons: [{ reason: 'need 24 GB VRAM', shards: 118 }, { reason: 'need AC power', shards: 14 }],
  shardState: (i) => i < 404 ? 'provisional' : i < 430 ? (hash(i) < 55 ? 'voting' : 'provisional') : i === 455 ? 'failed' : i < 510 ? (hash(i) < 80 ? 'leased' : 'pending') : 'pending' });
const words = inventJob({ name: 'word-count', shards: 101, hasMerge: true, devices, state: 'done', submittedAt: at(44), dissent: [3], submittedBy: 'A. Castellanos', shardState: () => 'sealed' });
const one = inventJob({ name: 'checksum', shards: 1, quorum: 1, devices, state: 'done', submittedAt: at(3 * 60), submittedBy: 'ci', shardState: () => 'sealed' });
const pic = inventJob({ name: 'mandelbrot', shards: 104, devices, submittedAt: at(2), view: { kind: 'tiles', width: 1200, height: 760, tile: 96 }, submittedBy: 'M. Okafor', shardState: (i) => i < 61 || (i < 80 && hash(i) < 40) ? 'provisional' : i < 84 ? 'leased' : 'pending' });
const million = inventJob({ name: 'sweep-everything', shards: 1_000_000, devices, submittedAt: at(500), shardState: (i) => { const wave = Math.sin(i / 90_000) * 30; return i < 520_000 ? 'provisional' : i < 640_000 ? (hash(i) < 60 + wave ? 'provisional' : hash(i) < 90 ? 'leased' : 'pending') : i === 700_321 ? 'failed' : 'pending'; } });
const twenty = inventJob({ name: 'twenty-thousand', shards: 15_000, devices, state: 'paused', submittedAt: at(70), shardState: (i) => i < 9000 ? 'provisional' : i < 9400 ? 'voting' : i < 10_000 ? 'leased' : 'pending' });
const broken = inventJob({ name: 'nightly-regression', shards: 100, devices, state: 'failed', submittedAt: at(26 * 60), reasons: [{ reason: 'the module stopped with exit code 3', shards: 1 }], shardState: (i) => i < 70 ? 'provisional' : i === 71 ? 'failed' : 'pending' });
const gone = inventJob({ name: 'old-experiment', shards: 24, devices, state: 'cancelled', submittedAt: at(50 * 60), shardState: (i) => i < 5 ? 'provisional' : 'pending' });
const jobs = [atlas, words, one, pic, million, twenty, broken, gone];
const grid = await startFakeGrid({ jobs, devices: devices.map((d) => d.summary), pages: '/work/main/ui/dist' });
const empty = await startFakeGrid({ pages: '/work/main/ui/dist' });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] });
const axe = readFileSync('/work/main/node_modules/axe-core/axe.min.js', 'utf8');
const shots = [
  ['jobs', grid, '/jobs'], ['job', grid, `/jobs/${atlas.summary.id}?shard=148`], ['words', grid, `/jobs/${words.summary.id}?shard=3`], ['one', grid, `/jobs/${one.summary.id}`], ['pic', grid, `/jobs/${pic.summary.id}`],
  ['million', grid, `/jobs/${million.summary.id}?shard=700321`], ['twenty', grid, `/jobs/${twenty.summary.id}`], ['broken', grid, `/jobs/${broken.summary.id}`], ['devices', grid, '/devices'], ['nojobs', empty, '/jobs'], ['nodevices', empty, '/devices'], ['nojob', empty, `/jobs/${one.summary.id}`], ['signin', grid, '/jobs'], ['nopage', grid, '/nothing/here'], ['lost', grid, `/jobs/${atlas.summary.id}?shard=148`],
].filter(([n]) => only === '' || only.split(',').includes(n));
let bad = 0;
for (const theme of ['dark', 'light']) for (const [w, h] of [[1440, 1000], [390, 844]]) for (const [name, server, path] of shots) {
  const context = await browser.newContext({ viewport: { width: w, height: h }, deviceScaleFactor: w < 500 ? 2 : 1, reducedMotion: 'reduce' });
  await context.addInitScript(`localStorage.setItem('corpgrid.theme','${theme}'); ${name === 'signin' ? '' : "localStorage.setItem('corpgrid.key','test-key')"}`);
  const page = await context.newPage();
  page.on('pageerror', (e) => { bad++; console.log(name, 'ERROR', e.message); });
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type()) && !/Failed to load resource|ERR_|WebSocket/.test(m.text())) { bad++; console.log(name, m.type(), m.text()); } });
  await page.goto(server.url + path);
  await page.waitForTimeout(name === 'million' || name === 'pic' ? 1500 : 700);
  if (name === 'signin') { await page.fill('input', 'wrong'); await page.keyboard.press('Enter'); await page.waitForTimeout(400); }
  if (name === 'lost') { grid.cut(); await page.waitForTimeout(600); }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) { bad++; console.log(name, theme, w, 'OVERFLOW', wide); }
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  for (const v of result.violations) { bad++; console.log(name, theme, w, v.id, v.nodes.length, v.nodes[0].html.slice(0, 140), v.nodes[0].failureSummary.slice(0, 260)); }
  await page.screenshot({ path: `/tmp/ui-shots/${name}-${theme}-${w}.png`, fullPage: w < 500 });
  if (name === 'lost') grid.restore();
  await context.close();
}
await browser.close(); await grid.close(); await empty.close();
console.log('problems', bad);
