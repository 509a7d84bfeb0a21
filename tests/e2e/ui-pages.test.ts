import path from 'node:path';

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { ShardState } from '#actors/contract/job-states.ts';
import { accessibilityViolations, findBrowser, sidewaysOverflow, startBrowser, visit, type Visit } from '#tests/support/browser.ts';
import { startFakeGrid, type FakeGrid, type FakeGridOptions } from '#tests/support/fake-grid.ts';
import { inventDevice, inventJob, outputOf, type InventedJob } from '#tests/support/invented-jobs.ts';

import { ensureUiBuilt } from '../../scripts/build-ui.ts';

/** The pages in a real browser, against a grid that is invented but speaks the contract over real sockets. */

const PAGES = path.resolve(import.meta.dirname, '../../ui/dist');
const TITLE = findBrowser() === null ? 'the pages (left out: no Chromium on this machine; name one with CORPGRID_CHROMIUM)' : 'the pages';
const devices = Array.from({ length: 12 }, (_, n) =>
  inventDevice(
    n,
    n === 5
      ? { state: 'absent', load: null }
      : n === 4
        ? { state: 'draining' }
        : n === 9
          ? { state: 'enrolled', os: null, cores: null, memoryBytes: null, slots: null, load: null, lastSeenAt: null }
          : {},
  ),
);

const mixed = (index: number): ShardState =>
  index < 400 ? 'provisional' : index < 414 ? 'voting' : index === 455 ? 'failed' : index < 490 ? 'leased' : 'pending';
const running = (): InventedJob =>
  inventJob({
    name: 'render-atlas',
    shards: 640,
    devices,
    shardState: mixed,
    dissent: [37],
    reasons: [{ reason: 'need 24 GB VRAM', shards: 118 }],
  });
const sealed = (quorum = 2): InventedJob =>
  inventJob({
    name: `sealed-${quorum}`,
    shards: 20,
    quorum,
    devices,
    state: 'done',
    hasMerge: true,
    shardState: () => 'sealed',
    dissent: [3],
  });
const picture = (): InventedJob =>
  inventJob({
    name: 'picture',
    shards: 6,
    devices,
    view: { kind: 'tiles', width: 150, height: 90, tile: 64 },
    shardState: (i) => (i < 2 ? 'provisional' : 'pending'),
  });
const huge = (): InventedJob =>
  inventJob({
    name: 'huge',
    shards: 1_000_000,
    devices,
    shardState: (i) => (i === 700_321 ? 'failed' : i < 600_000 ? 'provisional' : 'pending'),
  });

describe.skipIf(findBrowser() === null)(TITLE, () => {
  let browser: Browser;
  let grid: FakeGrid;
  let open: Visit[];

  beforeAll(async () => {
    await ensureUiBuilt();
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser.close();
  });
  beforeEach(() => {
    open = [];
  });
  afterEach(async () => {
    for (const { context } of open) await context.close();
    await grid.close();
    expect(open.flatMap(({ complaints }) => complaints)).toEqual([]);
    expect(browser.contexts()).toEqual([]);
  });

  async function serve(options: FakeGridOptions = {}): Promise<void> {
    grid = await startFakeGrid({ pages: PAGES, devices: devices.map((device) => device.summary), ...options });
  }
  async function go(where: string, options: Partial<Parameters<typeof visit>[1]> = {}): Promise<Page> {
    const visited = await visit(browser, { url: `${grid.url}${where}`, key: grid.key, ...options });
    open.push(visited);
    return visited.page;
  }
  const main = (page: Page) => page.locator('main');

  describe.each([
    ['dark', 1440],
    ['light', 1440],
    ['dark', 390],
    ['light', 390],
  ] as const)('%s, %i pixels wide', (theme, width) => {
    it('are accessible to all, fit, and write nothing to the console', async () => {
      const jobs = [running(), sealed(), sealed(1), picture(), huge()];
      await serve({ jobs });
      const id = (n: number): string => jobs[n]?.summary.id ?? '';
      const places: [where: string, awaited: string][] = [
        ['/jobs', 'render-atlas'],
        [`/jobs/${id(0)}?shard=37`, 'agreed with dissent'],
        [`/jobs/${id(1)}`, 'Two Ed25519 signatures verified in this browser.'],
        [`/jobs/${id(2)}`, 'One Ed25519 signature verified in this browser.'],
        [`/jobs/${id(3)}`, '2 of 6 tiles painted'],
        [`/jobs/${id(4)}`, 'each cell is'],
        ['/jobs/6f1f8a52-0000-4000-8000-000000000000', 'This job cannot be shown'],
        ['/devices', 'zurich-render-12'],
        ['/nowhere', 'No such page'],
      ];
      for (const [where, awaited] of places) {
        const page = await go(where, { theme, width });
        await main(page).getByText(awaited).first().waitFor();
        expect(await accessibilityViolations(page), where).toEqual([]);
        expect(await sidewaysOverflow(page), where).toBe(0);
      }
    });

    it('help when there is nothing yet, and let people sign in', async () => {
      await serve({ devices: [] });
      for (const [where, awaited] of [
        ['/jobs', 'npm run corpgrid -- submit examples/word-count/job.yaml'],
        ['/devices', 'npm run corpgrid -- tokens create'],
      ] as const) {
        const page = await go(where, { theme, width });
        await page.getByText(awaited).waitFor();
        expect(await accessibilityViolations(page)).toEqual([]);
        expect(await sidewaysOverflow(page)).toBe(0);
      }
      const { page, ...rest } = await visit(browser, { url: grid.url, theme, width });
      open.push({ page, ...rest });
      await page.getByLabel('API key').fill('wrong');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText('This key is unknown or was revoked.').waitFor();
      expect(await accessibilityViolations(page)).toEqual([]);
      expect(await sidewaysOverflow(page)).toBe(0);
    });
  });

  it('take the key out of the address, keep it, and sign out', async () => {
    await serve({ jobs: [running()] });
    const visited = await visit(browser, { url: `${grid.url}/jobs#key=${grid.key}` });
    open.push(visited);
    const { page } = visited;
    await page.getByRole('link', { name: 'render-atlas' }).waitFor();
    expect(page.url()).toBe(`${grid.url}/jobs`);
    await page.reload();
    await page.getByRole('link', { name: 'render-atlas' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate('localStorage.getItem("corpgrid.key")')).toBeNull();
  });

  it('follow a job live, heal a gap, and survive a lost connection', async () => {
    const job = running();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await main(page).getByText('400 of 640 agreed').waitFor();
    grid.move(job.summary.id, [[400, 'provisional']]);
    await main(page).getByText('401 of 640 agreed').waitFor();
    grid.move(job.summary.id, [[401, 'provisional']], 'unheard');
    grid.move(job.summary.id, [[402, 'provisional']]);
    await main(page).getByText('403 of 640 agreed').waitFor();
    expect(grid.asked.filter((what) => what === 'watch')).toHaveLength(2);

    grid.cut();
    await page.getByText('The connection to the grid is lost.').waitFor();
    await main(page).getByText('403 of 640 agreed').waitFor();
    grid.move(job.summary.id, [[403, 'provisional']]);
    grid.restore();
    await main(page).getByText('404 of 640 agreed').waitFor();
    await page.getByText('The connection to the grid is lost.').waitFor({ state: 'detached' });
  });

  it('list a job as soon as it is submitted, and its progress', async () => {
    await serve();
    const page = await go('/jobs');
    await page.getByText('No jobs yet').waitFor();
    const job = inventJob({ name: 'fresh', shards: 4, devices });
    grid.add(job);
    await page.getByRole('link', { name: 'fresh' }).waitFor();
    grid.move(job.summary.id, [[0, 'provisional']]);
    await page.getByRole('img', { name: 'Shards: 1 agreed, 3 waiting' }).waitFor();
  });

  it('say why shards wait when they are asked, with the devices counted by reason', async () => {
    const job = running();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await page.getByText(/Why do \d+ shards wait\?/).click();
    await main(page).getByText('no device can take it now').waitFor();
    const reasons = page.getByRole('list', { name: 'Devices by reason' });
    expect(await reasons.innerText()).toMatch(/0 of 12 devices could take one now\s+9 have no free slot\s+3 not connected/);
    expect(await accessibilityViolations(page)).toEqual([]);
  });

  it('show a device the moment it joins, and that it left', async () => {
    await serve({ devices: [] });
    const page = await go('/devices');
    await page.getByText('No devices yet').waitFor();
    const device = inventDevice(1).summary;
    grid.setDevice(device);
    await page.getByRole('row', { name: /zurich-render-12.*busy/ }).waitFor();
    grid.setDevice({ ...device, state: 'absent', load: null });
    await page.getByRole('row', { name: /zurich-render-12.*absent/ }).waitFor();
  });

  it('keep ten thousand devices in a short document', async () => {
    const [pattern] = devices;
    if (!pattern) throw new Error('no device');
    await serve({
      devices: Array.from({ length: 10_000 }, (_, n) => ({
        ...pattern.summary,
        id: `dev-${String(n).padStart(10, '0')}`,
        name: `machine-${n}`,
      })),
    });
    const page = await go('/devices');
    await page.getByRole('row', { name: /machine-0 / }).waitFor();
    expect(await page.locator('tbody tr').count()).toBeLessThan(60);
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
    await page.getByRole('row', { name: /machine-9999 / }).waitFor();
  });

  it('verify signatures in the browser, and say when a receipt does not hold', async () => {
    const job = sealed();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}?shard=3`);
    await page.getByText('Two Ed25519 signatures verified in this browser.').waitFor();
    expect(await page.getByText('signature valid').count()).toBe(2);
    expect(await page.getByText('hash disagrees', { exact: true }).count()).toBe(1);
    await grid.close();

    await serve({
      jobs: [job],
      forge: (receipt) => ({ ...receipt, leaf: { ...receipt.leaf, output: { ...receipt.leaf.output, size: 1 } } }),
    });
    const forged = await go(`/jobs/${job.summary.id}?shard=3`);
    await forged.getByText('The receipt of this shard does not hold.').waitFor();
    expect(await forged.getByText('signature INVALID').count()).toBe(2);
    expect(await forged.getByText('verified in this browser').count()).toBe(0);
  });

  it('go on verifying after the garbage of the first check was collected', async () => {
    const job = sealed();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    for (const shard of [4, 5, 6]) {
      await page.getByLabel('Go to shard').fill(String(shard));
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: `Shard ${shard}`, exact: true }).waitFor();
      await page.getByText('Two Ed25519 signatures verified in this browser.').waitFor();
      // Finalizers run in a later task, so two rounds with a task between them.
      await page.evaluate('new Promise((done) => { gc(); setTimeout(() => { gc(); setTimeout(done, 50); }, 50); })');
    }
  });

  it('can be used without a mouse', async () => {
    const job = running();
    await serve({ jobs: [job] });
    const page = await go('/jobs');
    await page.getByRole('link', { name: 'render-atlas' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('d');
    await page.getByRole('heading', { name: 'Devices' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('j');
    await page.getByRole('heading', { name: 'Jobs' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor({ state: 'hidden' });

    await page.getByRole('link', { name: 'render-atlas' }).press('Enter');
    await page.getByRole('heading', { name: 'Shard 455' }).waitFor();
    await page.getByRole('application').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.locator('[aria-live]', { hasText: 'Shard 1, agreed' }).waitFor({ state: 'attached' });
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Shard 1', exact: true }).waitFor();
    expect(page.url()).toBe(`${grid.url}/jobs/${job.summary.id}?shard=1`);
    await page.goBack();
    await page.getByRole('heading', { name: 'Jobs' }).waitFor();
  });

  it('paint a picture tile by tile, the right pixels at the right place', async () => {
    const job = picture();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await page.getByText('2 of 6 tiles painted').waitFor();
    const canvas = 'document.querySelector("main [role=img] canvas")';
    const pixel = (x: number, y: number) => page.evaluate<number[]>(`[...${canvas}.getContext("2d").getImageData(${x}, ${y}, 1, 1).data]`);
    const second = outputOf(job, 1);
    expect(await pixel(64 + 5, 7)).toEqual([...second.subarray((7 * 64 + 5) * 3, (7 * 64 + 5) * 3 + 3), 255]);
    expect(await pixel(140, 80)).toEqual([0, 0, 0, 0]);
    grid.move(
      job.summary.id,
      [2, 3, 4, 5].map((index): [number, ShardState] => [index, 'provisional']),
    );
    await page.getByText('6 of 6 tiles painted').waitFor();
    const last = outputOf(job, 5);
    // The lower right tile is 22 by 26 pixels.
    expect(await pixel(149, 89)).toEqual([...last.subarray(-3), 255]);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save picture' }).click()]);
    expect(download.suggestedFilename()).toBe('picture.png');
  });

  it('pause, resume and cancel a job, and tell when the grid refuses', async () => {
    const job = running();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('dialog', { name: 'Cancel render-atlas?' }).waitFor();
    job.summary = { ...job.summary, state: 'done' };
    await page.getByRole('button', { name: 'Cancel the job' }).click();
    await page.getByText('The job is done already.').waitFor();
    expect(grid.asked.filter((what) => what.startsWith('POST')).map((what) => what.split('/').at(-1))).toEqual([
      'pause',
      'resume',
      'cancel',
    ]);
  });

  it('download the result of a merge, an output and its receipt', async () => {
    const job = sealed();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}?shard=2`);
    await page.getByText('Two Ed25519 signatures verified in this browser.').waitFor();
    const names: string[] = [];
    for (const button of ['Fetch results', 'Save output', 'Save receipt']) {
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: button }).click()]);
      names.push(download.suggestedFilename());
    }
    const stem = `${job.summary.id.slice(0, 8)}-2`;
    expect(names).toEqual(['sealed-2.txt', `output-${stem}`, `receipt-${stem}.json`]);
  });

  it('name the command when a job has one result per shard', async () => {
    const job = inventJob({ name: 'many', shards: 5, devices, state: 'done', shardState: () => 'sealed' });
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await page.getByRole('button', { name: 'Fetch results' }).click();
    const dialog = page.getByRole('dialog', { name: 'Fetch 5 results' });
    await dialog.getByText(`npm run corpgrid -- results ${job.summary.id} --out many`).waitFor();
    expect(await accessibilityViolations(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Copy' }).click();
    await dialog.getByText('Copied').waitFor();
  });

  it('open a million shards, find the one that failed, and show its run', async () => {
    const job = huge();
    await serve({ jobs: [job] });
    const page = await go(`/jobs/${job.summary.id}`);
    await page.getByRole('heading', { name: 'Shard 700,321' }).waitFor();
    await page.getByText('Shards 700,300 to 700,349').waitFor();
    await page.getByLabel('Go to shard').fill('12');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Shard 12', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Next failed' }).click();
    await page.getByRole('heading', { name: 'Shard 700,321' }).waitFor();
  });

  it('remember the theme', async () => {
    await serve();
    const page = await go('/devices');
    await page.getByRole('button', { name: 'Switch to the light theme' }).click();
    await page.reload();
    await page.getByRole('button', { name: 'Switch to the dark theme' }).waitFor();
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('light');
  });
});
