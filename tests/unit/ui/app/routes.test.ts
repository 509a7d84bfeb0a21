import { describe, expect, it } from 'vitest';

import { createRouter, type Address } from '../../../../ui/src/app/router.ts';
import { DEVICES, hrefOf, JOBS, parseRoute, type Route } from '../../../../ui/src/app/routes.ts';

const parse = (href: string): Route => {
  const url = new URL(href, 'http://grid');
  return parseRoute(url.pathname, url.search);
};

describe('routes', () => {
  it.each<[string, Route]>([
    ['/jobs', JOBS],
    ['/jobs?state=failed', { page: 'jobs', filter: 'failed' }],
    ['/jobs/abc', { page: 'job', job: 'abc', shard: null }],
    ['/jobs/abc?shard=301', { page: 'job', job: 'abc', shard: 301 }],
    ['/devices', DEVICES],
    ['/devices?state=absent&sort=load&desc', { page: 'devices', filter: 'absent', sort: 'load', descending: true }],
    ['/nothing/here', { page: 'unknown', path: '/nothing/here' }],
  ])('%s is read and written alike', (href, route) => {
    expect(parse(href)).toEqual(route);
    expect(hrefOf(route)).toBe(href);
  });

  it('falls back to the plain page when the rest of the address makes no sense', () => {
    expect(parse('/')).toEqual(JOBS);
    expect(parse('/jobs/?state=purple')).toEqual(JOBS);
    expect(parse('/jobs/abc?shard=-4')).toEqual({ page: 'job', job: 'abc', shard: null });
    expect(parse('/devices?sort=colour')).toEqual(DEVICES);
    expect(parse('/jobs/abc/def').page).toBe('unknown');
  });
});

describe('createRouter', () => {
  function address(start: string) {
    const url = new URL(start, 'http://grid');
    const listeners = new Set<() => void>();
    const log: string[] = [];
    const at = (href: string): void => {
      const next = new URL(href, 'http://grid');
      url.pathname = next.pathname;
      url.search = next.search;
    };
    const fake: Address = {
      location: url,
      history: {
        pushState: (_, __, href) => (log.push(`push ${href}`), at(href)),
        replaceState: (_, __, href) => (log.push(`replace ${href}`), at(href)),
      },
      addEventListener: (_, listener) => listeners.add(listener),
      removeEventListener: (_, listener) => listeners.delete(listener),
    };
    const back = (href: string): void => {
      at(href);
      for (const listener of listeners) listener();
    };
    return { fake, log, back, listeners };
  }

  it('follows links, the back button, and moves of the selection without a new entry', () => {
    const { fake, log, back, listeners } = address('/jobs');
    const router = createRouter(fake);
    router.go({ page: 'job', job: 'abc', shard: null });
    router.go({ page: 'job', job: 'abc', shard: 7 }, 'replace');
    router.go({ page: 'job', job: 'abc', shard: 7 });
    expect(log).toEqual(['push /jobs/abc', 'replace /jobs/abc?shard=7', 'replace /jobs/abc?shard=7']);
    back('/jobs?state=open');
    expect(router.route.get()).toEqual({ page: 'jobs', filter: 'open' });
    router.close();
    expect(listeners.size).toBe(0);
  });
});
