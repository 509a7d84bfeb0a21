import { spawnSync } from 'node:child_process';

/** A program of the system that some tests need. */
export interface Tool {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** What does not run without it. */
  readonly without: string;
}

const TOOLS: readonly Tool[] = [
  { name: 'chromium', command: 'chromium', args: ['--version'], without: 'the web UI in a real browser (tests/e2e)' },
  { name: 'unshare', command: 'unshare', args: ['--version'], without: 'the embedded PostgreSQL under root' },
  { name: 'redis-server', command: 'redis-server', args: ['--version'], without: 'presence on a real Redis (tests/contract)' },
  { name: 'radosgw', command: 'radosgw', args: ['--version'], without: 'objects on a real S3 (tests/contract, tests/integration)' },
  {
    name: 'postgresql-15',
    command: '/usr/lib/postgresql/15/bin/postgres',
    args: ['--version'],
    without: 'the oldest PostgreSQL that is supported (tests/integration)',
  },
];

/** Tools that are not on this machine. */
export function missingTools(): Tool[] {
  return TOOLS.filter(({ command, args }) => spawnSync(command, args, { stdio: 'ignore' }).status !== 0);
}

/** Names in CORPGRID_REQUIRE: there a missing tool is a failure, not a gap. */
export function requiredTools(): Set<string> {
  return new Set((process.env['CORPGRID_REQUIRE'] ?? '').split(',').filter((name) => name !== ''));
}
