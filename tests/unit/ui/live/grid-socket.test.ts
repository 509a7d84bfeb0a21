import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { startFakeGrid, type FakeGrid } from '#tests/support/fake-grid.ts';
import { inventDevice, inventJob } from '#tests/support/invented-jobs.ts';

import { createGridHttp } from '../../../../ui/src/live/grid-http.ts';
import { connectGrid, type Connection, type GridSocket } from '../../../../ui/src/live/grid-socket.ts';
import { watchJob } from '../../../../ui/src/live/job-watch.ts';
import type { GridProblem } from '../../../../ui/src/live/problem.ts';
import type { Source } from '../../../../ui/src/live/source.ts';
import type { Timing } from '../../../../ui/src/live/timing.ts';

/** The sockets are real here, so the time is too. */
const timing: Timing = {
  now: () => performance.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
  nextFrame: (run) => void setImmediate(run),
};

function until<T>(source: Source<T>, holds: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds(source.get())) return;
      off();
      resolve(source.get());
    };
    const off = source.subscribe(look);
    look();
  });
}
const phase = (wanted: Connection['phase']) => (connection: Connection) => connection.phase === wanted;

describe('connectGrid, over real sockets', () => {
  const devices = [inventDevice(0), inventDevice(1)];
  let grid: FakeGrid;
  let socket: GridSocket;
  const job = () => inventJob({ name: 'real-sockets', shards: 5, devices, shardState: () => 'sealed', state: 'done' });

  beforeEach(async () => {
    grid = await startFakeGrid({ jobs: [job()], devices: devices.map((device) => device.summary) });
    socket = connectGrid({ url: grid.url, key: grid.key, timing, probeEveryMs: 0 });
  });
  afterEach(async () => {
    socket.close();
    await grid.close();
  });

  it('connects, asks, and measures the round trip', async () => {
    expect(socket.connection.get()).toEqual({ phase: 'connecting', problem: null });
    await until(socket.connection, phase('connected'));
    expect(await socket.request('jobs')).toMatchObject([{ name: 'real-sockets' }]);
    const now = socket.connection.get();
    expect(now.phase === 'connected' && now.lagMs !== null && now.lagMs >= 0 && now.lagMs < 5_000).toBe(true);
  });

  it('is refused with the words of the grid when the key is wrong', async () => {
    const stranger = connectGrid({ url: grid.url, key: 'wrong', timing, probeEveryMs: 0 });
    const refused = await until(stranger.connection, phase('refused'));
    expect(refused).toMatchObject({ problem: { code: 'UNAUTHENTICATED', message: 'This key is unknown or was revoked.' } });
    stranger.close();
  });

  it('rejects with the problem that the grid answers', async () => {
    await until(socket.connection, phase('connected'));
    const problem = await socket
      .request('watch', { job: '6f1f8a52-0000-4000-8000-000000000000' })
      .catch((error: GridProblem) => error.problem);
    expect(problem).toMatchObject({ code: 'NOT_FOUND', fix: 'Look at the list of jobs.' });
  });

  it('tells that the grid cannot be reached, then connects when it can', async () => {
    grid.cut();
    const early = connectGrid({ url: grid.url, key: grid.key, timing, probeEveryMs: 0 });
    await until(early.connection, (now) => now.phase === 'connecting' && now.problem?.code === 'UNREACHABLE');
    grid.restore();
    await until(early.connection, phase('connected'));
    early.close();
  });

  it('loses the connection, comes back, and a watched job is whole again', async () => {
    await until(socket.connection, phase('connected'));
    const { id } = job().summary;
    const watch = watchJob({ socket, timing, job: id });
    await until(watch.view, (view) => view.phase === 'live');
    grid.cut();
    await until(socket.connection, phase('lost'));
    expect(watch.view.get().phase).toBe('behind');
    grid.restore();
    grid.move(id, [[2, 'failed']]);
    await until(watch.view, (view) => view.phase === 'live');
    expect([...watch.view.get().states]).toEqual([4, 4, 5, 4, 4]);
    watch.close();
  });

  it('heals a gap in the deltas by watching again', async () => {
    await until(socket.connection, phase('connected'));
    const { id } = job().summary;
    const watch = watchJob({ socket, timing, job: id });
    await until(watch.view, (view) => view.phase === 'live');
    grid.move(id, [[0, 'failed']], 'unheard');
    grid.move(id, [[1, 'failed']]);
    await until(watch.view, (view) => view.phase === 'live' && view.states[0] === 5);
    expect([...watch.view.get().states]).toEqual([5, 5, 4, 4, 4]);
    expect(grid.asked.filter((what) => what === 'watch')).toHaveLength(2);
    watch.close();
  });
});

describe('createGridHttp, over real HTTP', () => {
  const job = inventJob({
    name: 'real http',
    shards: 3,
    devices: [inventDevice(0), inventDevice(1)],
    shardState: (i) => (i === 2 ? 'provisional' : 'sealed'),
    hasMerge: true,
  });
  const { id } = job.summary;
  let grid: FakeGrid;
  beforeEach(async () => {
    grid = await startFakeGrid({ jobs: [job] });
  });
  afterEach(() => grid.close());
  const http = (key = grid.key) => createGridHttp({ base: grid.url, key, fetch: (url, init) => fetch(url, init) });

  it('acts on a job', async () => {
    await http().act(id, 'pause');
    expect(grid.asked).toEqual([`POST /api/jobs/${id}/pause`]);
  });

  it('downloads the result under the name that the grid gives', async () => {
    const file = await http().result(id, 'fallback');
    expect(file.name).toBe('real http.txt');
    expect(Buffer.from(file.bytes).toString()).toBe('real http 2\n');
  });

  it('fetches the output of a shard', async () => {
    expect(Buffer.from(await http().output(id, 1)).toString()).toBe('real http 1\n');
  });

  it('answers null for a receipt that is not there yet', async () => {
    expect(await http().receipt(id, 2)).toBeNull();
    expect(await http().receipt(id, 1)).toMatchObject({ version: 1, leaf: { shard: 1 } });
  });

  it('rejects with the problem of the grid', async () => {
    await expect(http('wrong').act(id, 'pause')).rejects.toMatchObject({ problem: { code: 'UNAUTHENTICATED' } });
    await expect(
      http()
        .receipt('6f1f8a52-0000-4000-8000-000000000000', 0)
        .then((receipt) => receipt ?? 'none'),
    ).resolves.toBe('none');
  });

  it('rejects with UNREACHABLE when nobody answers, and with the abort when it was aborted', async () => {
    grid.cut();
    await expect(http().output(id, 0)).rejects.toMatchObject({ problem: { code: 'UNREACHABLE' } });
    const abort = new AbortController();
    abort.abort();
    await expect(http().output(id, 0, abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });
});
