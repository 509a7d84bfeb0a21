import { describe, expect, it } from 'vitest';
import { asRefusal, isConnectionLost, isRetryable, refuseWhileAway, withDatabaseRetry } from '#runtime/database/connection-errors.ts';
import { GridError, statusOf } from '#runtime/errors.ts';
import { ActorCrashed } from '#runtime/kernel/errors.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

function failure(code: string, message = 'failed'): Error {
  return Object.assign(new Error(message), { code });
}

describe('isConnectionLost', () => {
  it.each(['57P01', '57P02', '57P03', '08000', '08003', '08006', '08P01', '25P03', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'])(
    '%s',
    (code) => {
      expect(isConnectionLost(failure(code))).toBe(true);
      expect(isRetryable(failure(code))).toBe(true);
    },
  );

  it.each([
    'Connection terminated',
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'Client was closed and is not queryable',
    'Client has encountered a connection error and is not queryable',
    'timeout exceeded when trying to connect',
  ])('"%s"', (message) => {
    expect(isConnectionLost(new Error(message))).toBe(true);
  });

  it('does not take a statement’s error for a lost connection because of its text', () => {
    expect(isConnectionLost(failure('23505', 'duplicate key "Connection terminated"'))).toBe(false);
  });

  it('looks at causes and at the members of aggregates', () => {
    expect(isConnectionLost(new Error('wrapped', { cause: new Error('twice', { cause: failure('ECONNRESET') }) }))).toBe(true);
    expect(isConnectionLost(new AggregateError([failure('ECONNREFUSED'), failure('ECONNREFUSED')]))).toBe(true);
    expect(isConnectionLost(new Error('wrapped', { cause: failure('23505') }))).toBe(false);
  });

  it('survives a cause that leads back to itself', () => {
    const error = new Error('circle');
    error.cause = error;
    expect(isConnectionLost(error)).toBe(false);
  });

  it.each([null, undefined, 'ECONNRESET', { code: 'ECONNRESET' }])('is no match for %j, which is no error', (value) => {
    expect(isConnectionLost(value)).toBe(false);
  });
});

describe('isRetryable', () => {
  it.each(['40001', '40P01', '53300'])('%s: the server is well, the work can be done again', (code) => {
    expect(isRetryable(failure(code))).toBe(true);
    expect(isConnectionLost(failure(code))).toBe(false);
  });

  it.each(['23505', '42P01', '28P01', '3D000', '22P02', '57014'])('%s: the same work fails again', (code) => {
    expect(isRetryable(failure(code))).toBe(false);
  });

  it('takes a refusal for a verdict, whatever caused it', () => {
    expect(isRetryable(new GridError('DATABASE', 'no server', { cause: failure('ECONNREFUSED') }))).toBe(false);
  });
});

describe('withDatabaseRetry', () => {
  const backoff = { minMs: 100, maxMs: 400, jitter: 0 };

  it('repeats the work while the server restarts, with growing waits', async () => {
    const host = virtualHost(1);
    const began: number[] = [];
    const result = withDatabaseRetry(
      async () => {
        began.push(host.clock.now());
        if (began.length < 5) throw failure('ECONNREFUSED');
        return 'done';
      },
      { host, backoff },
    );
    await host.advance(2_000);
    expect(await result).toBe('done');
    const start = began[0] ?? 0;
    expect(began.map((at) => at - start)).toEqual([0, 100, 300, 700, 1_100]);
  });

  it('gives up after the last attempt, with the last error', async () => {
    const host = virtualHost(1);
    let tries = 0;
    const seen: number[] = [];
    const result = withDatabaseRetry(
      () => {
        tries += 1;
        return Promise.reject(failure('57P03', `try ${tries}`));
      },
      { host, backoff, attempts: 3, onRetry: (_error, failures) => seen.push(failures) },
    );
    const verdict = expect(result).rejects.toThrow('try 3');
    await host.advance(2_000);
    await verdict;
    expect(tries).toBe(3);
    expect(seen).toEqual([1, 2]);
  });

  it('does not repeat what fails for a reason of its own', async () => {
    const host = virtualHost(1);
    let tries = 0;
    const work = (): Promise<never> => {
      tries += 1;
      return Promise.reject(failure('23505'));
    };
    await expect(withDatabaseRetry(work, { host, backoff })).rejects.toMatchObject({ code: '23505' });
    expect(tries).toBe(1);
  });
});

describe('asRefusal', () => {
  it.each([
    failure('ECONNREFUSED'),
    failure('57P03'),
    failure('40001'),
    new Error('wrapped', { cause: failure('ECONNRESET') }),
    new ActorCrashed('/jobs/1', 'report', failure('57P01')),
  ])('tells who asked that a later try can succeed: %s', (error) => {
    const refusal = asRefusal(error);
    expect(refusal).toMatchObject({ code: 'DATABASE', fix: 'try again in a moment', cause: error });
    expect(statusOf(refusal)).toBe(503);
  });

  it.each([
    failure('42703'),
    new GridError('NOT_FOUND', 'no job', { cause: failure('ECONNREFUSED') }),
    new ActorCrashed('/jobs/1', 'report', new TypeError('x is undefined')),
    'ECONNREFUSED',
  ])('leaves every other failure as it is: %s', (error) => {
    expect(asRefusal(error)).toBe(error);
  });

  it('is what refused work rejects with', async () => {
    const defect = failure('42703');
    await expect(refuseWhileAway(() => Promise.reject(failure('ECONNREFUSED')))).rejects.toMatchObject({ code: 'DATABASE' });
    await expect(refuseWhileAway(() => Promise.reject(defect))).rejects.toBe(defect);
    await expect(refuseWhileAway(() => Promise.resolve(7))).resolves.toBe(7);
  });
});
