import { expect, it } from 'vitest';
import { refuseOld } from '#runtime/database/given-database.ts';

function server(number: string, version: string): Parameters<typeof refuseOld>[0] {
  // The answer of an old server; a real one that old is not to be had from the package.
  return { query: async <Row extends object>() => [{ number, version }] as unknown as Row[] };
}

it.each([
  ['150000', '15.0'],
  ['180004', '18.4'],
])('PostgreSQL %s is new enough', async (number, version) => {
  await refuseOld(server(number, version), 'db:5432/grid');
});

it('PostgreSQL 14 is refused, with its version and the way out', async () => {
  await expect(refuseOld(server('140019', '14.19 (Debian)'), 'db:5432/grid')).rejects.toMatchObject({
    code: 'DATABASE',
    message: 'The server at db:5432/grid is PostgreSQL 14.19 (Debian); CorpGrid needs 15 or newer.',
    path: 'DATABASE_URL',
    fix: expect.stringContaining('Upgrade'),
  });
});
