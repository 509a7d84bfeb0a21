import { Refusal } from '#runtime/kernel/errors.ts';

/** How commands talk: results on stdout, everything else on stderr. */

export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;

const UNREACHABLE = new Set(['UNREACHABLE', 'DATABASE', 'ASK_TIMEOUT']);
const FAILED = new Set(['INTERNAL', 'MODEL_FAILED', 'BUSY', 'CONFLICT']);

/** Exit code for a failure: bad input 2, no grid 3, the rest 1. */
export function exitCodeOf(error: unknown): number {
  if (!Refusal.is(error)) return EXIT.failed;
  if (UNREACHABLE.has(error.code)) return EXIT.unreachable;
  return FAILED.has(error.code) ? EXIT.failed : EXIT.usage;
}

export function printError(error: unknown): void {
  if (!Refusal.is(error)) {
    process.stderr.write(`corpgrid: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return;
  }
  const where = error.path === undefined ? '' : `${error.path}: `;
  process.stderr.write(`corpgrid: ${where}${error.message}\n`);
  if (error.fix !== undefined) process.stderr.write(`  fix: ${error.fix}\n`);
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON document, and nothing else on stdout. */
export function sayJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** A table with columns as wide as they need to be. Unknown values are a dash. */
export function sayTable(columns: readonly string[], rows: readonly (readonly (string | number | null | undefined)[])[]): void {
  const cells = rows.map((row) => row.map((value) => (value === null || value === undefined || value === '' ? '–' : String(value))));
  const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (values: readonly string[]): string =>
    values
      .map((value, i) => value.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  say(line(columns));
  for (const row of cells) say(line(row));
}

/** Progress of long work: one line that is rewritten on a terminal, a line now and then without one. */
export function createProgress(stream: NodeJS.WriteStream = process.stderr): { update(text: string): void; end(): void } {
  let last = '';
  let open = false;
  return {
    update(text) {
      if (text === last) return;
      last = text;
      if (!stream.isTTY) {
        stream.write(`${text}\n`);
        return;
      }
      stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, (stream.columns || 80) - 1))}`);
      open = true;
    },
    end() {
      if (open) stream.write('\n');
      open = false;
    },
  };
}
