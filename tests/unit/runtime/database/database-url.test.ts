import { describe, expect, it } from 'vitest';
import { checkDatabaseUrl, databaseName, redactPasswords, serverName } from '#runtime/database/database-url.ts';

describe('checkDatabaseUrl', () => {
  it.each([
    'postgres://ann:secret@db.example:6432/grid',
    'postgresql://db/grid?sslmode=require',
    'postgres:///grid?host=/var/run/postgresql',
    'postgres://[::1]:5432/grid',
  ])('accepts %s', (text) => {
    expect(checkDatabaseUrl(text).href).toBe(new URL(text).href);
  });

  it.each([
    ['', 'is not an address'],
    ['localhost', 'is not an address'],
    ['postgres://ann:hunter2@db:port/grid', 'is not an address'],
    ['mysql://ann:hunter2@db/grid', 'starts with "mysql://"'],
    ['localhost:5432/grid', 'starts with "localhost://"'],
    ['postgres:///grid', 'names no host'],
    ['postgres://ann:hunter2@db', 'names no database'],
    ['postgres://ann:hunter2@db/', 'names no database'],
    ['postgres://ann:hunter2@db/100%', 'write a plain "%" as %25'],
  ])('refuses %j', (text, reason) => {
    let caught: unknown;
    try {
      checkDatabaseUrl(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ code: 'BAD_CONFIGURATION', path: 'DATABASE_URL', message: expect.stringContaining(reason) });
    expect(caught).toMatchObject({ fix: expect.stringContaining('DATABASE_URL') });
    expect((caught as Error).message).not.toContain('hunter2');
  });
});

describe('serverName', () => {
  it('names the server and nothing secret', () => {
    expect(serverName(new URL('postgres://ann:hunter2@db.example:6432/grid'))).toBe('db.example:6432/grid');
    expect(serverName(new URL('postgres://ann:hunter2@db/grid'))).toBe('db:5432/grid');
    expect(serverName(new URL('postgres:///grid?host=/run/pg'))).toBe('/run/pg:5432/grid');
  });

  it('decodes the name of the database', () => {
    expect(databaseName(new URL('postgres://db/my%20grid'))).toBe('my grid');
  });
});

describe('redactPasswords', () => {
  it.each([
    ['cannot reach postgres://ann:hunter2@db/grid now', 'cannot reach postgres://ann:***@db/grid now'],
    ['postgres://ann:hun:ter@2@db/grid', 'postgres://ann:***@db/grid'],
    ['postgres://:hunter2@db/grid', 'postgres://:***@db/grid'],
    ['postgres://db/grid?user=ann&password=hunter2&x=1', 'postgres://db/grid?user=ann&password=***&x=1'],
    ['two: postgres://a:hunter2@x/1 postgres://b:hunter2@y/2', 'two: postgres://a:***@x/1 postgres://b:***@y/2'],
    ['connect ECONNREFUSED 127.0.0.1:5432', 'connect ECONNREFUSED 127.0.0.1:5432'],
  ])('%s', (text, expected) => {
    expect(redactPasswords(text)).toBe(expected);
  });
});
