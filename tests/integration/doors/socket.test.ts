import { io, type Socket } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { SHARD_STATES } from '#actors/contract/job-states.ts';
import { JobDelta, JobSnapshot, JobSummary, type Answer, type ProblemJson } from '#actors/contract/live.ts';
import { endWithoutLeak, startAgents } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { newKey, wordCount, type Visitor } from './visitors.ts';

const TEXTS = Array.from({ length: 8 }, (_, n) => `text number ${n}`);

describe('the socket.io door', () => {
  let grid: Grid;
  let ours: Visitor;
  let theirs: Visitor;
  const open: Socket[] = [];

  beforeAll(async () => {
    grid = await startGrid();
    await startAgents(grid, ['a', 'b']);
    [ours, theirs] = [await newKey(grid, 'ours'), await newKey(grid, 'theirs')];
  });
  afterEach(() => {
    for (const socket of open.splice(0)) socket.disconnect();
  });
  afterAll(() => endWithoutLeak(grid));

  function connect(auth: Record<string, unknown>): Socket {
    const socket = io(grid.url, { auth, transports: ['websocket'], reconnection: false, forceNew: true });
    open.push(socket);
    return socket;
  }
  async function enter(key: string): Promise<Socket> {
    const socket = connect({ key });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('connect_error', reject));
    return socket;
  }
  async function ask<T>(socket: Socket, event: string, ...payload: unknown[]): Promise<Answer<T>> {
    return (await socket.timeout(10_000).emitWithAck(event, ...payload)) as Answer<T>;
  }
  async function value<T>(socket: Socket, event: string, ...payload: unknown[]): Promise<T> {
    const answer = await ask<T>(socket, event, ...payload);
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value;
  }
  const refusal = (code: string, more: Partial<ProblemJson> = {}): object => ({
    ok: false,
    error: { code, message: expect.any(String), ...more },
  });

  it.each([
    ['no key', {}],
    ['a wrong key', { key: `cg_${'x'.repeat(16)}_${'y'.repeat(32)}` }],
    ['a key that is no text', { key: { toString: 'cg_' } }],
  ])('refuses %s with a message and the way out', async (_, auth) => {
    const socket = connect(auth);
    const error = await new Promise<Error & { data?: ProblemJson }>((resolve) => socket.once('connect_error', resolve));
    expect(error.message).toMatch(/key/);
    expect(error.data).toMatchObject({ code: 'UNAUTHENTICATED', fix: expect.any(String) });
    expect(socket.connected).toBe(false);
  });

  it('takes a job and tells its watchers every change: snapshot and deltas add up to the end', async () => {
    const socket = await enter(ours.key);
    const deltas: JobDelta[] = [];
    const changed: JobSummary[] = [];
    socket.on('job', (delta: unknown) => deltas.push(JobDelta.parse(delta)));
    socket.on('jobs:changed', (summary: unknown) => changed.push(JobSummary.parse(summary)));
    const submission = await wordCount(grid.client, TEXTS, 2);
    const made = await value<JobSummary>(socket, 'submit', submission);
    expect(made).toMatchObject({ id: submission.id, tenant: 'ours', shards: TEXTS.length, quorum: 2, verified: true });
    const first = JobSnapshot.parse(await value(socket, 'watch', { job: submission.id }));
    await waitUntil('the feed says that the job is done', () => deltas.at(-1)?.summary.state === 'done', 60_000);

    const states = Uint8Array.from(first.states);
    let { seq } = first;
    for (const delta of deltas.filter((one) => one.seq > first.seq)) {
      expect(delta.seq).toBe((seq += 1));
      for (const [index, code] of delta.changes) states[index] = code;
    }
    expect([...states].map((code) => SHARD_STATES[code])).toEqual(TEXTS.map(() => 'sealed'));
    const last = JobSnapshot.parse(await value(socket, 'watch', { job: submission.id }));
    expect([...last.states]).toEqual([...states]);
    expect(last.summary).toMatchObject({ state: 'done', votes: 2 * TEXTS.length });
    expect(changed.map((summary) => summary.state)).toContain('done');
    expect(await value<JobSummary[]>(socket, 'jobs')).toContainEqual(expect.objectContaining({ id: submission.id, state: 'done' }));
    expect(await value(socket, 'shard', { job: submission.id, index: 0 })).toMatchObject({
      state: 'sealed',
      votes: [{ agrees: true }, { agrees: true }],
    });
  });

  it('shows nobody another tenant’s job: not on asking, and not by a broadcast', async () => {
    const [mine, stranger, admin] = [await enter(ours.key), await enter(theirs.key), await enter(grid.adminKey)];
    const overheard: unknown[] = [];
    const seen: JobSummary[] = [];
    stranger.on('job', (delta) => overheard.push(delta)).on('jobs:changed', (summary) => overheard.push(summary));
    admin.on('jobs:changed', (summary: JobSummary) => seen.push(summary));
    const submission = await wordCount(grid.client, ['a secret'], 2);
    await value(mine, 'submit', submission);
    const job = submission.id;
    expect(await ask(stranger, 'watch', { job })).toEqual(refusal('NOT_FOUND', { fix: expect.any(String) as string }));
    expect(await ask(stranger, 'shard', { job, index: 0 })).toEqual(refusal('NOT_FOUND', { fix: expect.any(String) as string }));
    expect(await value(stranger, 'jobs')).toEqual([]);
    expect(await ask(stranger, 'submit', submission)).toMatchObject(refusal('CONFLICT', { path: 'id' }));
    await waitUntil(
      'the administrator hears of its end',
      () => seen.some((summary) => summary.id === job && summary.state === 'done'),
      60_000,
    );
    expect(overheard).toEqual([]);
  });

  it('stops telling who does not watch any more', async () => {
    const socket = await enter(ours.key);
    const deltas: unknown[] = [];
    const ends: JobSummary[] = [];
    const submission = await wordCount(grid.client, ['x', 'y'], 2);
    socket.on('jobs:changed', (summary: JobSummary) => summary.state === 'done' && ends.push(summary));
    const { spec } = submission;
    await value(socket, 'submit', { ...submission, spec: { ...spec, quorum: 3 } });
    await value(socket, 'watch', { job: submission.id });
    expect(await value(socket, 'unwatch', { job: submission.id })).toBe(true);
    socket.on('job', (delta) => deltas.push(delta));
    // The cancellation's delta goes to the room before its summary goes to the tenant.
    const cancelled = new Promise<void>((resolve) => {
      socket.on('jobs:changed', (summary: JobSummary) => summary.state === 'cancelled' && resolve());
    });
    await grid.client.control(submission.id, 'cancel');
    await cancelled;
    expect(deltas).toEqual([]);
  });

  it('answers malformed requests, and goes on serving', async () => {
    const socket = await enter(ours.key);
    for (const payload of [
      null,
      7,
      'job',
      [],
      { job: 'seven' },
      { job: 7 },
      { job: '00000000-0000-4000-8000-000000000000', more: 1 },
      Buffer.from('job'),
    ]) {
      expect(await ask(socket, 'watch', payload)).toMatchObject(refusal('BAD_REQUEST'));
    }
    expect(await ask(socket, 'watch')).toMatchObject(refusal('BAD_REQUEST'));
    expect(await ask(socket, 'shard', { job: '00000000-0000-4000-8000-000000000000', index: -1 })).toMatchObject(
      refusal('BAD_REQUEST', { path: 'index' }),
    );
    const { spec } = await wordCount(grid.client, ['z'], 1);
    expect(await ask(socket, 'submit', { id: 'seven', spec })).toMatchObject(refusal('BAD_SPEC', { path: 'id' }));
    expect(await ask(socket, 'submit', { id: '00000000-0000-4000-8000-000000000001', spec: { ...spec, quorum: 'two' } })).toMatchObject(
      refusal('BAD_SPEC', { path: 'spec.quorum' }),
    );
    // Without somebody to answer, and with names that every object has.
    socket.emit('watch', { job: 'seven' });
    socket.emit('__proto__', {});
    socket.emit('constructor', 'x', 'y');
    expect(await value(socket, 'devices')).toHaveLength(2);
  });
});
