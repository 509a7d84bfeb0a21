/** Which page an address shows. The address holds every filter, sort order and selection, so that a link says it all. */

export const JOB_FILTERS = ['all', 'open', 'done', 'failed'] as const;
export type JobFilter = (typeof JOB_FILTERS)[number];

export const DEVICE_FILTERS = ['all', 'present', 'draining', 'absent', 'enrolled', 'revoked'] as const;
export type DeviceFilter = (typeof DEVICE_FILTERS)[number];

export const DEVICE_SORTS = ['name', 'state', 'memory', 'running', 'load', 'seen'] as const;
export type DeviceSort = (typeof DEVICE_SORTS)[number];

export type Route =
  | { readonly page: 'jobs'; readonly filter: JobFilter }
  /** `shard` null: the page chooses one. */
  | { readonly page: 'job'; readonly job: string; readonly shard: number | null }
  | { readonly page: 'devices'; readonly filter: DeviceFilter; readonly sort: DeviceSort; readonly descending: boolean }
  | { readonly page: 'unknown'; readonly path: string };

function oneOf<const T extends string>(values: readonly T[], raw: string | null, otherwise: T): T {
  return values.find((value) => value === raw) ?? otherwise;
}

/** Reads an address; anything odd in it falls back to the plain page, never to an error. */
export function parseRoute(pathname: string, search: string): Route {
  const query = new URLSearchParams(search);
  const [first, second, ...rest] = pathname.split('/').filter(Boolean);
  if (first === undefined || (first === 'jobs' && second === undefined)) {
    return { page: 'jobs', filter: oneOf(JOB_FILTERS, query.get('state'), 'all') };
  }
  if (first === 'jobs' && second !== undefined && rest.length === 0) {
    const shard = query.get('shard') ?? '';
    return { page: 'job', job: second, shard: /^\d{1,7}$/.test(shard) ? Number(shard) : null };
  }
  if (first === 'devices' && second === undefined) {
    return {
      page: 'devices',
      filter: oneOf(DEVICE_FILTERS, query.get('state'), 'all'),
      sort: oneOf(DEVICE_SORTS, query.get('sort'), 'name'),
      descending: query.has('desc'),
    };
  }
  return { page: 'unknown', path: pathname };
}

/** The address of a page. `parseRoute` reads back what this writes. */
export function hrefOf(route: Route): string {
  const query = new URLSearchParams();
  let path: string;
  switch (route.page) {
    case 'jobs':
      path = '/jobs';
      if (route.filter !== 'all') query.set('state', route.filter);
      break;
    case 'job':
      path = `/jobs/${route.job}`;
      if (route.shard !== null) query.set('shard', String(route.shard));
      break;
    case 'devices':
      path = '/devices';
      if (route.filter !== 'all') query.set('state', route.filter);
      if (route.sort !== 'name') query.set('sort', route.sort);
      if (route.descending) query.set('desc', '');
      break;
    case 'unknown':
      path = route.path;
      break;
  }
  const text = query.toString().replace(/=(?=&|$)/g, '');
  return text === '' ? path : `${path}?${text}`;
}

export const JOBS: Route = { page: 'jobs', filter: 'all' };
export const DEVICES: Route = { page: 'devices', filter: 'all', sort: 'name', descending: false };
