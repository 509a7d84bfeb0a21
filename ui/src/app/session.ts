import { DeviceSummary, JobSummary } from '#actors/contract/live.ts';

import { createGridHttp, type Fetch, type GridHttp } from '../live/grid-http.ts';
import { connectGrid, type GridSocket } from '../live/grid-socket.ts';
import { createKeyedList, type KeyedList } from '../live/keyed-list.ts';
import type { Timing } from '../live/timing.ts';
import { newestFirst } from '../routes/jobs/job-filter.ts';

/** All that a signed-in page works with. Whoever opened it closes it. */
export interface Session {
  readonly key: string;
  readonly timing: Timing;
  readonly socket: GridSocket;
  readonly http: GridHttp;
  readonly jobs: KeyedList<JobSummary>;
  readonly devices: KeyedList<DeviceSummary>;
  close(): void;
}

export function openSession(options: { key: string; base: string; timing: Timing; fetch: Fetch }): Session {
  const { key, base, timing, fetch } = options;
  const socket = connectGrid({ url: base, key, timing });
  const jobs = createKeyedList({
    socket,
    timing,
    request: 'jobs',
    event: 'jobs:changed',
    schema: JobSummary,
    keyOf: (job) => job.id,
    compare: newestFirst,
  });
  const devices = createKeyedList({
    socket,
    timing,
    request: 'devices',
    event: 'device',
    schema: DeviceSummary,
    keyOf: (device) => device.id,
    compare: (a, b) => a.enrolledAt - b.enrolledAt,
  });
  return {
    key,
    timing,
    socket,
    http: createGridHttp({ base, key, fetch }),
    jobs,
    devices,
    close() {
      jobs.close();
      devices.close();
      socket.close();
    },
  };
}
