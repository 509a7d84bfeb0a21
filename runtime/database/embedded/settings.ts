/**
 * The embedded server's settings, given on its command line: they hold for every start, whatever the files say.
 * Sized for a laptop that also does other work; durability is PostgreSQL's own (fsync, checksums).
 */
export function serverSettings(port: number, token: string): readonly string[] {
  const settings: Record<string, string | number> = {
    port,
    // The proof of identity: see `identity.ts`.
    cluster_name: token,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 50,
    shared_buffers: '64MB',
    max_wal_size: '512MB',
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    // A crashed backend costs a restart of all connections, not of the server.
    restart_after_crash: 'on',
    // Many short statements: compiling them costs more than it saves.
    jit: 'off',
    TimeZone: 'UTC',
    log_timezone: 'UTC',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
    log_checkpoints: 'off',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
