import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { followJob } from '#bin/client/follow-job.ts';
import { submitJobFile } from '#bin/client/submit-job.ts';
import { accessibilityViolations, findBrowser, startBrowser, visit } from '#tests/support/browser.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { ensureUiBuilt } from '../../scripts/build-ui.ts';

/** The web UI of a real grid in a real browser: a person signs in, watches the picture appear, and checks a shard's votes. */

/** A picture of 16 tiles, quick enough for a test. */
const PICTURE = `
version: 1
name: lighthouse
module: ${path.resolve(import.meta.dirname, '../../examples/render/render.wasm')}
args: [--width, 256, --height, 256, --tile, 64, --samples, 4, --shard, '{shard}']
shards: { count: 16 }
merge: { args: [merge, --width, 256, --height, 256, --tile, 64] }
view: { kind: tiles, width: 256, height: 256, tile: 64 }
`;

/** How many colours the largest picture on the page has; an unpainted canvas has one. */
const PAINTED = `(() => {
  let most = 0;
  for (const canvas of document.querySelectorAll('canvas')) {
    const context = canvas.getContext('2d');
    if (context === null || canvas.width === 0) continue;
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4 * 37) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    most = Math.max(most, colours.size);
  }
  return most;
})()`;

const TITLE = findBrowser() === null ? 'the live job page (left out: no Chromium on this machine)' : 'the live job page';

describe.skipIf(findBrowser() === null)(TITLE, () => {
  let grid: Grid;
  let browser: Browser;

  beforeAll(async () => {
    await ensureUiBuilt();
    grid = await startGrid({ ui: true });
    for (const name of ['ada', 'blaise', 'grace']) await grid.startAgent(name);
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await grid?.end();
  });

  it('shows the job while it runs, paints its picture, and verifies the votes of a sealed shard', async () => {
    const file = path.join(grid.folder, 'picture.yaml');
    await writeFile(file, PICTURE);
    const { page, context, complaints } = await visit(browser, { url: `${grid.url}/#key=${grid.adminKey}` });
    // An empty grid says what to do next.
    await page.getByText('submit examples/word-count/job.yaml').waitFor();
    // The key must not stay in the address, where it would be copied along.
    expect(page.url()).not.toContain(grid.adminKey);

    const [job] = await submitJobFile(grid.client, file, {});
    if (job === undefined) throw new Error('the file has no job');
    await page.getByRole('link', { name: 'lighthouse' }).click();
    await page.waitForURL(`**/jobs/${job.id}`);
    await followJob(grid.client, job.id, () => {});

    // Pushed by the grid, without a reload.
    await page.getByText('17 of 17').first().waitFor();
    await page.getByLabel('Go to shard').fill('7');
    await page.keyboard.press('Enter');
    await page.getByText('Two Ed25519 signatures verified in this browser.').waitFor();
    await expect.poll(() => page.evaluate<number>(PAINTED), { timeout: 20_000 }).toBeGreaterThan(20);
    expect(await accessibilityViolations(page)).toEqual([]);
    expect(complaints).toEqual([]);

    await page.goto(`${grid.url}/devices`);
    for (const name of ['ada', 'blaise', 'grace']) await page.getByRole('row', { name: new RegExp(name) }).waitFor();
    await context.close();
  }, 180_000);
});
