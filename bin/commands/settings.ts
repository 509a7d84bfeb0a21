import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

import { createGridClient, type GridClient } from '#bin/client/grid-client.ts';
import { GridError } from '#runtime/errors.ts';
import { LOG_LEVELS, type LogLevel } from '#runtime/observe/log.ts';

export const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
export const DEFAULT_PORT = 7070;
export const DEFAULT_URL = `http://127.0.0.1:${DEFAULT_PORT}`;

export function version(): string {
  const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}

/** Options that every client command takes. */
export interface GridOptions {
  readonly url?: string;
  readonly key?: string;
  readonly json?: boolean;
}

export function clientOf(options: GridOptions): GridClient {
  return createGridClient({
    url: options.url ?? process.env['CORPGRID_URL'] ?? DEFAULT_URL,
    key: options.key ?? process.env['CORPGRID_KEY'],
  });
}

export function parseWhole(text: string, path: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new GridError('BAD_CONFIGURATION', `${JSON.stringify(text)} is not a whole number from ${min} to ${max}`, {
      path,
      fix: `give a number from ${min} to ${max}`,
    });
  }
  return value;
}

export function parseLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((l) => l === text);
  if (level === undefined)
    throw new GridError('BAD_CONFIGURATION', `${JSON.stringify(text)} is not a log level`, {
      path: '--log',
      fix: `one of ${LOG_LEVELS.join(', ')}`,
    });
  return level;
}
