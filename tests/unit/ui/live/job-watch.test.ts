import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import type { JobDelta } from '#actors/contract/live.ts';
import { countStates, inventDevice, inventJob } from '#tests/support/invented-jobs.ts';
import { manualTiming, type ManualTiming } from '#tests/support/manual-timing.ts';
import { scriptedSocket, type ScriptedSocket } from '#tests/support/scripted-socket.ts';

import { watchJob, type JobWatch } from '../../../../ui/src/live/job-watch.ts';
import { GridProblem, UNREACHABLE } from '../../../../ui/src/live/problem.ts';

const job = inventJob({ name: 'watched', shards: 4, devices: [inventDevice(0)] });
const id = job.summary.id;
const byte = (state: ShardState): number => SHARD_STATES.indexOf(state);
const snapshot = (seq: number, states: ShardState[] = ['pending', 'pending', 'pending', 'pending']) => ({
  seq,
  summary: job.summary,
  states: Uint8Array.from(states, byte),
});
const delta = (seq: number, ...changes: [number, ShardState][]): JobDelta => ({
  seq,
  summary: { ...job.summary, votes: seq, counts: countStates(job.states) },
  changes: changes.map(([index, state]) => [index, byte(state)]),
});

describe('watchJob', () => {
  let socket: ScriptedSocket;
  let timing: ManualTiming;
  let watch: JobWatch;
  const states = (): (string | undefined)[] => [...watch.view.get().states].map((b) => SHARD_STATES[b]);
  const asked = (): string[] => socket.open.map((request) => request.event);
  const first = () => {
    const [request] = socket.open;
    if (!request) throw new Error('nothing was asked');
    return request;
  };

  beforeEach(() => {
    socket = scriptedSocket();
    timing = manualTiming();
    watch = watchJob({ socket, timing, job: id });
  });
  afterEach(() => {
    watch.close();
    expect(socket.listeners).toBe(0);
    expect(timing.waiting).toBe(0);
  });

  it('is loading until the snapshot comes, then live', async () => {
    expect(watch.view.get().phase).toBe('loading');
    expect(first()).toMatchObject({ event: 'watch', payload: { job: id } });
    await first().answer(snapshot(7));
    expect(watch.view.get()).toMatchObject({ phase: 'live', summary: { name: 'watched' } });
  });

  it('reads the states when they come as an ArrayBuffer, as browsers get them', async () => {
    await first().answer({ ...snapshot(7, ['sealed', 'failed', 'leased', 'voting']), states: Uint8Array.from([4, 5, 1, 2]).buffer });
    expect(states()).toEqual(['sealed', 'failed', 'leased', 'voting']);
  });

  it('follows deltas in their order and tells the new version', async () => {
    await first().answer(snapshot(7));
    const { version } = watch.view.get();
    socket.emit('job', delta(8, [1, 'leased']));
    socket.emit('job', delta(9, [1, 'voting'], [2, 'leased']));
    expect(states()).toEqual(['pending', 'voting', 'leased', 'pending']);
    expect(watch.view.get()).toMatchObject({ version: version + 2, summary: { votes: 9 } });
  });

  it('watches anew after a gap and keeps what it knows meanwhile', async () => {
    await first().answer(snapshot(7, ['sealed', 'pending', 'pending', 'pending']));
    socket.emit('job', delta(9, [1, 'leased']));
    expect(watch.view.get().phase).toBe('behind');
    expect(states()[0]).toBe('sealed');
    expect(asked()).toEqual(['watch']);
    await first().answer(snapshot(9, ['sealed', 'leased', 'failed', 'pending']));
    expect(watch.view.get().phase).toBe('live');
    expect(states()).toEqual(['sealed', 'leased', 'failed', 'pending']);
  });

  it('lays deltas that came before the snapshot on top of it and drops the older ones', async () => {
    socket.emit('job', delta(6, [0, 'failed']));
    socket.emit('job', delta(8, [3, 'leased']));
    await first().answer(snapshot(7));
    expect(states()).toEqual(['pending', 'pending', 'pending', 'leased']);
    expect(watch.view.get().phase).toBe('live');
  });

  it('asks again when the deltas before the snapshot have a gap', async () => {
    socket.emit('job', delta(9, [3, 'leased']));
    await first().answer(snapshot(7));
    expect(watch.view.get().phase).toBe('behind');
    expect(asked()).toEqual(['watch']);
  });

  it('does not mind a delta that it has already', async () => {
    await first().answer(snapshot(7));
    socket.emit('job', delta(7, [0, 'failed']));
    expect(watch.view.get().phase).toBe('live');
    expect(states()[0]).toBe('pending');
  });

  it('takes a delta that it cannot read for a gap', async () => {
    await first().answer(snapshot(7));
    socket.emit('job', { seq: 8, nonsense: true });
    expect(watch.view.get().phase).toBe('behind');
  });

  it('leaves deltas of other jobs alone', async () => {
    await first().answer(snapshot(7));
    const other = inventJob({ name: 'another', shards: 1, devices: [inventDevice(0)] });
    socket.emit('job', { seq: 99, summary: other.summary, changes: [] });
    expect(watch.view.get().phase).toBe('live');
  });

  it('is behind while the connection is lost and watches anew when it is back', async () => {
    await first().answer(snapshot(7));
    socket.become({ phase: 'lost', since: 0 });
    expect(watch.view.get().phase).toBe('behind');
    socket.become({ phase: 'connected', lagMs: null });
    socket.become({ phase: 'connected', lagMs: 12 });
    expect(asked()).toEqual(['watch']);
    await first().answer(snapshot(2));
    expect(watch.view.get().phase).toBe('live');
  });

  it('fails with the words of the grid when it refuses the job', async () => {
    await first().fail(new GridProblem({ code: 'NOT_FOUND', message: 'no job' }));
    expect(watch.view.get()).toMatchObject({ phase: 'failed', problem: { code: 'NOT_FOUND' } });
  });

  it('tries again after a while when no answer came', async () => {
    await first().fail(new GridProblem(UNREACHABLE));
    expect(asked()).toEqual([]);
    timing.advance(2_000);
    expect(asked()).toEqual(['watch']);
    expect(watch.view.get().phase).toBe('loading');
  });

  it('forgets an answer that a newer question overtook', async () => {
    const old = first();
    socket.become({ phase: 'lost', since: 0 });
    socket.become({ phase: 'connected', lagMs: null });
    await old.answer(snapshot(1, ['failed', 'failed', 'failed', 'failed']));
    expect(watch.view.get().phase).toBe('loading');
  });

  it('leaves the room when it is closed and says nothing more', async () => {
    await first().answer(snapshot(7));
    let told = 0;
    watch.view.subscribe(() => (told += 1));
    watch.close();
    expect(first()).toMatchObject({ event: 'unwatch', payload: { job: id } });
    socket.emit('job', delta(8, [1, 'leased']));
    expect(told).toBe(0);
  });
});
