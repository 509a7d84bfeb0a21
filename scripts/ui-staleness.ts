/**
 * Whether the built pages are those of the sources that lie here. Pure: hashes come in, a reason or null goes out.
 *
 * The build leaves a record of every input and its SHA-256 beside its output (`ui/dist/.inputs`). Content decides, not
 * time stamps: a clone, a checkout and a copy all keep the one and lose the other.
 */

/** Path of each input, relative to the repository, and the SHA-256 of its bytes. */
export type Inputs = ReadonlyMap<string, string>;

/** The record as text: one `hash  path` line each, sorted by path. */
export function recordOf(inputs: Inputs): string {
  return [...inputs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, hash]) => `${hash}  ${path}\n`)
    .join('');
}

/** Reads a record back; a line that is none makes the whole record unreadable: null. */
export function parseRecord(text: string): Inputs | null {
  const inputs = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const match = /^([0-9a-f]{64}) {2}(.+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return null;
    inputs.set(match[2], match[1]);
  }
  return inputs;
}

/**
 * Why the pages must be built anew, as one sentence; null when they are fresh.
 *
 * @param recorded the record beside the output; null when there is none
 * @param complete whether the output's index.html is there
 */
export function staleness({ current, recorded, complete }: { current: Inputs; recorded: string | null; complete: boolean }): string | null {
  if (!complete || recorded === null) return 'The pages were never built.';
  const before = parseRecord(recorded);
  if (before === null) return 'The record of the last build cannot be read.';
  for (const [path, hash] of current) {
    const old = before.get(path);
    if (old === undefined) return `${path} is new since the last build.`;
    if (old !== hash) return `${path} has changed since the last build.`;
  }
  for (const path of before.keys()) if (!current.has(path)) return `${path} is gone since the last build.`;
  return null;
}
