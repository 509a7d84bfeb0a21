import { open, readFile } from 'node:fs/promises';

import type { Command } from 'commander';

import { SignedKeyList } from '#actors/contract/former-keys.ts';
import { PublicKey } from '#actors/contract/primitives.ts';
import { verifyReceipt } from '#actors/contract/receipt.ts';
import { isAnswerReceipt, verifyAnswerReceipt } from '#actors/contract/verify-answer.ts';
import { EXIT, say, sayJson } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';

const RECEIPT_LIMIT = 256 * 1024 * 1024;

/** Receipts of a file: one, or a list of them as `results` writes it. */
async function readReceipts(file: string): Promise<unknown[]> {
  const handle = await open(file).catch((cause: unknown) => {
    throw new GridError('BAD_REQUEST', `cannot read ${file}`, { path: 'receipt', fix: 'give a file that `corpgrid results` wrote', cause });
  });
  try {
    if ((await handle.stat()).size > RECEIPT_LIMIT)
      throw new GridError('TOO_LARGE', `${file} is larger than ${RECEIPT_LIMIT} bytes`, { path: 'receipt' });
    const parsed: unknown = JSON.parse(await handle.readFile('utf8'));
    const list: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
    if (list.length === 0) throw new GridError('BAD_REQUEST', `${file} holds no receipt`, { path: 'receipt' });
    return list;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new GridError('BAD_REQUEST', `${file} is not JSON: ${cause.message}`, {
      path: 'receipt',
      fix: 'give a file that `corpgrid results` wrote',
      cause,
    });
  } finally {
    await handle.close();
  }
}

async function readAnswer(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new GridError('BAD_REQUEST', `cannot read ${file}`, {
      path: '--answer',
      fix: 'give a file with the text as it came, and nothing else',
      cause,
    });
  });
}

async function readKeys(file: string): Promise<SignedKeyList> {
  try {
    return SignedKeyList.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    throw new GridError('BAD_REQUEST', `${file} is not a list of former keys`, {
      path: '--keys',
      fix: 'give a file that `corpgrid log --keys FILE` wrote',
      cause,
    });
  }
}

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .argument('<receipt>', 'receipt, or a list of them, as JSON')
    .description('check receipts offline: needs no grid and trusts none')
    .option('--grid-key <hex>', 'the grid’s public key as you know it; without it a receipt proves only that somebody sealed it')
    .option('--keys <file>', 'former keys of devices, as `corpgrid log --keys FILE` writes them: votes of revoked ones do not count')
    .option('--answer <file>', 'the text of the answer, for the receipt of an answer')
    .option('--json', 'one JSON document on stdout')
    .action(async (file: string, options: { gridKey?: string; keys?: string; answer?: string; json?: boolean }) => {
      const { gridKey } = options;
      if (gridKey !== undefined && !PublicKey.safeParse(gridKey).success) {
        throw new GridError('BAD_CONFIGURATION', 'the grid key is not 64 hex digits', { path: '--grid-key', fix: '`npm start` prints it' });
      }
      const receipts = await readReceipts(file);
      const formerKeys = options.keys === undefined ? undefined : await readKeys(options.keys);
      const tools = { sha256, verify, ...(gridKey === undefined ? {} : { gridKey }), ...(formerKeys === undefined ? {} : { formerKeys }) };
      const inHand = options.answer === undefined ? {} : { text: await readAnswer(options.answer) };
      const verdicts = receipts.map((receipt) =>
        isAnswerReceipt(receipt) ? verifyAnswerReceipt(receipt, tools, inHand) : verifyReceipt(receipt, tools),
      );
      const bad = verdicts.filter((v) => !v.ok).length;
      const warnings = [...new Set(verdicts.flatMap((v) => v.warnings))];
      if (options.json) {
        sayJson({ receipts: verdicts.length, valid: verdicts.length - bad, invalid: bad, warnings, verdicts });
      } else {
        for (const [i, verdict] of verdicts.entries()) {
          for (const check of verdict.checks) if (!check.ok) say(`receipt ${i}: ${check.name}: ${check.detail}`);
        }
        for (const warning of warnings) say(`warning: ${warning}`);
        say(`${verdicts.length - bad} of ${verdicts.length} receipts are valid`);
      }
      if (bad > 0) process.exitCode = EXIT.failed;
    });
}
