import { expect, it } from 'vitest';
import { serverSettings } from '#runtime/database/embedded/settings.ts';

it('a server listens on the loopback only, keeps what it commits and carries its token', () => {
  const settings = serverSettings(15432, 'corpgrid-00');
  const values = settings.filter((_, index) => index % 2 === 1);
  expect(new Set(settings.filter((_, index) => index % 2 === 0))).toEqual(new Set(['-c']));
  expect(values).toEqual(
    expect.arrayContaining([
      'port=15432',
      'cluster_name=corpgrid-00',
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'max_connections=50',
      'fsync=on',
      'synchronous_commit=on',
      'full_page_writes=on',
    ]),
  );
});
