import { parseArgs } from 'node:util';

import { actors } from './actors.ts';
import { array } from './array.ts';
import { audit } from './audit.ts';
import { type Benchmark, type Findings, missedOf } from './benchmark.ts';
import { bridge } from './bridge.ts';
import { dispatch } from './dispatch.ts';
import { failover } from './failover.ts';
import { fairness } from './fairness.ts';
import { failoverStream } from './failover-stream.ts';
import { fencing } from './fencing.ts';
import { inference } from './inference.ts';
import { leases } from './leases.ts';
import { link } from './link.ts';
import { memoryLedger } from './memory-ledger.ts';
import { placement } from './placement.ts';
import { prefix } from './prefix.ts';
import { start } from './start.ts';
import { trust } from './trust.ts';

/** `npm run bench -- NAME`: a table for people, then one JSON line for programs. Exit 1 when a target or a baseline was missed. */

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  actors,
  array,
  audit,
  bridge,
  dispatch,
  failover,
  fairness,
  'failover-stream': failoverStream,
  fencing,
  inference,
  leases,
  link,
  'memory-ledger': memoryLedger,
  placement,
  prefix,
  start,
  trust,
};

const USAGE = 'usage: npm run bench -- NAME [--quick]   or: npm run bench -- --list\n';

function listing(): string {
  const width = Math.max(...Object.keys(BENCHMARKS).map((name) => name.length));
  return Object.entries(BENCHMARKS)
    .map(([name, { about }]) => `${name.padEnd(width)}  ${about}\n`)
    .join('');
}

function table({ figures, ratios, targets, absent }: Findings): string {
  const limit = (name: string): string => {
    const target = targets[name];
    if (target === undefined) return '';
    return 'atMost' in target ? `at most ${target.atMost}` : `at least ${target.atLeast}`;
  };
  const rows = [
    ...[...Object.entries(figures), ...Object.entries(ratios)].map(([name, value]) => [name, String(value), limit(name)] as const),
    ...Object.entries(absent).map(([name, why]) => [name, 'not run', why] as const),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(([name, value, note]) => `${name.padEnd(widths[0] ?? 0)}  ${value.padStart(widths[1] ?? 0)}  ${note}`.trimEnd() + '\n')
    .join('');
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { list: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
  });
  if (values.list) {
    process.stdout.write(listing());
    return 0;
  }
  const [name = '', ...rest] = positionals;
  const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  if (benchmark === undefined || rest.length > 0) {
    process.stderr.write(`${USAGE}\nThere are:\n${listing()}`);
    return 2;
  }
  const findings = await benchmark.run({ quick: values.quick, note: (text) => void process.stderr.write(`${text}\n`) });
  const { figures, ratios, targets } = findings;
  const missed = missedOf(findings);
  process.stdout.write(table(findings));
  process.stdout.write(`${JSON.stringify({ bench: name, figures, ratios, targets, missed })}\n`);
  return missed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const wrongUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  process.stderr.write(
    `${error instanceof Error ? (wrongUsage ? `${error.message}\n${USAGE}` : (error.stack ?? error.message)) : String(error)}\n`,
  );
  process.exitCode = wrongUsage ? 2 : 1;
}
