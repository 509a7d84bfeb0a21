import { fail, ok, warn, type Verdict } from './finding.ts';

/** What figures mean, apart from how they are had. */

const GIB = 1024 ** 3;
const OLDEST_NODE = 24;
/** Below the first nothing works for long; below the second a model or a large job fills the disk. */
const DISK = { least: GIB, comfortable: 5 * GIB };
/** Signed addresses live 15 minutes and longer; times that people compare should agree better than that. */
const SKEW_MS = { noticed: 5_000, harmful: 300_000 };

export function judgeNode(version: string): Verdict {
  const major = Number(/^v(\d+)\./.exec(version)?.[1] ?? 0);
  if (major >= OLDEST_NODE) return ok(`Node ${version}`);
  return fail(`Node ${version}`, `run npm ci, which brings Node ${OLDEST_NODE}, and start with npm run corpgrid; or install it`);
}

export function judgeDisk(folder: string, freeBytes: number): Verdict {
  const free = `${(freeBytes / GIB).toFixed(1)} GiB free at ${folder}`;
  if (freeBytes < DISK.least) return fail(free, 'free some space, or name another folder');
  if (freeBytes < DISK.comfortable) return warn(free, 'free some space before large jobs and models fill it');
  return ok(free);
}

/** `skewMs`: how far the other clock is ahead of ours; it was read within `uncertainMs`. */
export function judgeSkew(whose: string, skewMs: number, uncertainMs: number): Verdict {
  const off = Math.max(0, Math.abs(skewMs) - uncertainMs);
  if (off < SKEW_MS.noticed) return ok(`agrees with ${whose}`);
  const text = `${(off / 1_000).toFixed(1)} s ${skewMs > 0 ? 'behind' : 'ahead of'} ${whose}`;
  const fix = 'let both machines follow a time server (timedatectl set-ntp true, chronyd, w32tm)';
  return off >= SKEW_MS.harmful ? fail(text, fix) : warn(text, fix);
}
