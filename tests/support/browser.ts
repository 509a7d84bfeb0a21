import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

/** Places where systems keep a Chromium or Chrome; CORPGRID_CHROMIUM names another. */
const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Path of a browser on this machine; null when there is none. */
export function findBrowser(): string | null {
  const named = process.env['CORPGRID_CHROMIUM'];
  return [...(named === undefined ? [] : [named]), ...PLACES].find((place) => existsSync(place)) ?? null;
}

/** Starts the browser. Whoever starts it closes it. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === null) throw new Error('no Chromium on this machine');
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--js-flags=--expose-gc'],
  });
}

export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the page wrote as a warning or an error, and what it threw. Not among them: failed requests, and hints that only a test's own reading of a canvas causes. */
  readonly complaints: string[];
}

/** A fresh browser profile with a page in it, signed in when a key is given. Animations are off, so that pictures hold still. */
export async function visit(
  browser: Browser,
  options: { url: string; key?: string; theme?: 'dark' | 'light'; width?: number; height?: number },
): Promise<Visit> {
  const { url, key, theme = 'dark', width = 1440, height = 900 } = options;
  const context = await browser.newContext({ viewport: { width, height }, reducedMotion: 'reduce', acceptDownloads: true });
  const kept = { 'corpgrid.theme': theme, ...(key === undefined ? {} : { 'corpgrid.key': key }) };
  await context.addInitScript(
    `for (const [name, value] of Object.entries(${JSON.stringify(kept)})) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);`,
  );
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (
      ['error', 'warning'].includes(message.type()) &&
      !/Failed to load resource|WebSocket connection|ERR_|willReadFrequently/.test(message.text())
    )
      complaints.push(message.text());
  });
  await page.goto(url);
  return { page, context, complaints };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong with the page as it stands, one line each. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate<string[]>(
    `axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations.flatMap((v) => v.nodes.map((node) => v.id + ': ' + node.html.slice(0, 160))))`,
  );
}

/** CSS pixels by which the page is wider than its window. */
export function sidewaysOverflow(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}
