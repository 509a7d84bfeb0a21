import { describe, expect, it } from 'vitest';
import { parsePostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';

const READY = ['4711', '/srv/grid/pg18', '1764800000', '15432', '', '127.0.0.1', '  2621450   1234567', 'ready   ', ''].join('\n');

describe('parsePostmasterPid', () => {
  it('reads what a running server writes', () => {
    expect(parsePostmasterPid(READY)).toEqual({ pid: 4711, dataFolder: '/srv/grid/pg18', port: 15432, status: 'ready' });
  });

  it.each(['starting', 'stopping', 'standby'])('reads the status "%s"', (status) => {
    expect(parsePostmasterPid(READY.replace('ready   ', status))?.status).toBe(status);
  });

  it('knows neither port nor status of a server that has only begun', () => {
    expect(parsePostmasterPid('4711\n/srv/grid/pg18\n1764800000\n')).toEqual({
      pid: 4711,
      dataFolder: '/srv/grid/pg18',
      port: null,
      status: null,
    });
  });

  it('reads the lines that Windows ends in its own way', () => {
    expect(parsePostmasterPid(READY.replaceAll('\n', '\r\n'))).toMatchObject({ pid: 4711, port: 15432, status: 'ready' });
  });

  it('takes the negative pid of single-user mode for the pid it is', () => {
    expect(parsePostmasterPid('-4711\n/srv/grid/pg18\n')?.pid).toBe(4711);
  });

  it.each(['', '\n\n', 'x\n/srv\n', '0\n/srv\n', '4711', '4711\n', '99999999999\n/srv\n', '47 11\n/srv\n'])('is null for %j', (text) => {
    expect(parsePostmasterPid(text)).toBeNull();
  });
});
