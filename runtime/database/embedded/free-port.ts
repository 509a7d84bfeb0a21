import net from 'node:net';
import type { Host } from '#runtime/kernel/host.ts';
import { GridError } from '#runtime/errors.ts';

/**
 * Ports below the ranges from which systems take the local ends of outgoing connections (32768 and up on Linux, 49152 and
 * up elsewhere). In those ranges a client that retries while the server is down can be given the server's port itself,
 * connect to itself, and keep the server from coming back.
 */
const FIRST = 15_000;
const LAST = 31_999;
const TRIES = 50;

/** The wanted port when it is free, or else any other free one on 127.0.0.1. @throws GridError DATABASE when none is found */
export async function choosePort(host: Host, wanted: number | null): Promise<number> {
  if (wanted !== null && (await isFree(wanted))) return wanted;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = FIRST + Math.floor(host.random() * (LAST - FIRST + 1));
    if (await isFree(port)) return port;
  }
  throw new GridError('DATABASE', `No free port for PostgreSQL between ${FIRST} and ${LAST} after ${TRIES} tries.`, {
    fix: 'Check whether this process may listen on 127.0.0.1, or set DATABASE_URL.',
  });
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
