import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { ERRORS } from '#runtime/errors.ts';

/** `docs/errors.md` is the table of runtime/errors.ts in prose; `--write` makes it anew. */

const FILE = path.join(path.dirname(import.meta.dirname), 'docs', 'errors.md');

function errorsTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, meaning }]) => `| \`${code}\` | ${status} | ${meaning} |`);
  return `# Errors\n\nEvery failure has one of these codes, in the CLI, the HTTP API and socket.io. The message says what happened, \`path\` which field is at fault, \`fix\` what to do.\n\n| code | HTTP | meaning |\n|---|---|---|\n${rows.join('\n')}\n\nThe OpenAI door answers in OpenAI's shape instead; see actors/gateway/openai/errors.ts.\n`;
}

/** What is wrong with the committed table, or null. */
export function errorsTableDrift(): string | null {
  let committed = '';
  try {
    committed = readFileSync(FILE, 'utf8');
  } catch {
    // A missing file is drift like any other.
  }
  return committed === errorsTable() ? null : 'docs/errors.md is not what runtime/errors.ts says: node scripts/errors-table.ts --write';
}

if (import.meta.main && process.argv.includes('--write')) writeFileSync(FILE, errorsTable());
