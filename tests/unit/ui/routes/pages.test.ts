import { describe, expect, it } from 'vitest';

import { detailOf, inventDevice, inventJob } from '#tests/support/invented-jobs.ts';

import type { Proof } from '../../../../ui/src/live/shard-inspector.ts';
import { deviceOrder, devicesIn, loadShare } from '../../../../ui/src/routes/devices/device-order.ts';
import { fileNameOf, resultsOf } from '../../../../ui/src/routes/job/results-of.ts';
import { glyphOfShard, verdictOf } from '../../../../ui/src/routes/job/vote-verdict.ts';
import { jobsIn, newestFirst } from '../../../../ui/src/routes/jobs/job-filter.ts';

const devices = [0, 1, 2, 3].map((n) => inventDevice(n));

describe('jobs', () => {
  const states = ['queued', 'running', 'paused', 'sealing', 'done', 'failed', 'cancelled'] as const;
  const jobs = states.map((state, n) => inventJob({ name: state, shards: 1, state, devices, submittedAt: n }).summary);
  it('are filtered by what became of them', () => {
    const names = (filter: 'all' | 'open' | 'done' | 'failed') => jobsIn(filter, jobs).map((job) => job.name);
    expect(names('all')).toHaveLength(7);
    expect(names('open')).toEqual(['queued', 'running', 'paused', 'sealing']);
    expect(names('done')).toEqual(['done']);
    expect(names('failed')).toEqual(['failed', 'cancelled']);
  });
  it('stand newest first', () => {
    expect([...jobs].sort(newestFirst).map((job) => job.name)).toEqual([...states].reverse());
  });
});

describe('devices', () => {
  const make = (name: string, over: object) => ({ ...inventDevice(1).summary, id: `dev-${name.padEnd(10, '0')}`, name, ...over });
  const fleet = [
    make('node-10', { load: 8, cores: 16, memoryBytes: 2 }),
    make('node-9', { load: 12, cores: 16, memoryBytes: null, state: 'absent' }),
    make('node-2', { load: 4, cores: 4, memoryBytes: 1, state: 'draining' }),
    make('win', { load: 0, cores: 4, memoryBytes: 3, os: 'win32' }),
  ];
  const sorted = (...order: Parameters<typeof deviceOrder>) => [...fleet].sort(deviceOrder(...order)).map((device) => device.name);

  it('are sorted as people count', () => {
    expect(sorted('name', false)).toEqual(['node-2', 'node-9', 'node-10', 'win']);
    expect(sorted('name', true)).toEqual(['win', 'node-10', 'node-9', 'node-2']);
    expect(sorted('state', false)).toEqual(['node-10', 'win', 'node-2', 'node-9']);
  });
  it('put unknown values last in both directions', () => {
    expect(sorted('load', true)).toEqual(['node-2', 'node-10', 'node-9', 'win']);
    expect(sorted('load', false)).toEqual(['node-10', 'node-2', 'node-9', 'win']);
    expect(sorted('memory', true)).toEqual(['win', 'node-10', 'node-2', 'node-9']);
  });
  it('have a load only when somebody knows it', () => {
    expect(fleet.map(loadShare)).toEqual([0.5, null, 1, null]);
  });
  it('are filtered by state', () => {
    expect(devicesIn('all', fleet)).toHaveLength(4);
    expect(devicesIn('absent', fleet).map((device) => device.name)).toEqual(['node-9']);
  });
});

describe('resultsOf', () => {
  const { summary } = inventJob({ name: 'my job', shards: 3, devices });
  it('downloads one file where there is one, and names the command where there are many', () => {
    expect(resultsOf({ ...summary, hasMerge: true })).toEqual({ kind: 'merged' });
    expect(resultsOf({ ...summary, shards: 1 })).toEqual({ kind: 'single', shard: 0 });
    expect(resultsOf(summary)).toEqual({ kind: 'many', command: `npm run corpgrid -- results ${summary.id} --out my-job` });
  });
  it.each([
    ['my job', 'my-job'],
    ['../../etc/passwd', 'etc-passwd'],
    ['$(rm -rf)', 'rm--rf-'],
    ['???', 'job'],
    ['Zürich.2', 'Zürich.2'],
  ])('makes a file name of %j that no shell minds', (name, file) => {
    expect(fileNameOf(name)).toBe(file);
  });
});

describe('verdicts', () => {
  const job = (state: 'sealed' | 'voting' | 'leased', quorum = 2, dissent: number[] = []) =>
    detailOf(inventJob({ name: 'v', shards: 1, devices, quorum, dissent, shardState: () => state }), 0);
  const recorded: Proof = { phase: 'recorded' };
  const verdicts = (detail: ReturnType<typeof job>, proof: Proof = recorded) => detail.votes.map((vote) => verdictOf(vote, detail, proof));

  it('call a vote agreed only when the shard is settled', () => {
    expect(verdicts(job('sealed'))).toEqual([
      { glyph: 'agreed', stand: 'agrees', signature: 'recorded' },
      { glyph: 'agreed', stand: 'agrees', signature: 'recorded' },
    ]);
    expect(verdicts(job('voting'))).toEqual([{ glyph: 'voting', stand: 'awaiting quorum', signature: 'recorded' }]);
  });
  it('name dissent, refusal and what nobody checked', () => {
    const split = job('sealed', 2, [0]);
    expect(verdicts(split)[2]).toMatchObject({ glyph: 'failed', stand: 'hash disagrees' });
    expect(glyphOfShard(split, 'agreed')).toBe('dissent');
    expect(glyphOfShard(job('sealed'), 'agreed')).toBe('agreed');
    expect(verdicts(job('sealed', 1))[0]).toMatchObject({ glyph: 'accepted', stand: 'nobody checked it' });
    const [vote] = split.votes;
    if (!vote) throw new Error('no vote');
    expect(verdictOf({ ...vote, state: 'refused', reason: 'late' }, split, recorded)).toMatchObject({ glyph: 'failed', stand: 'refused' });
  });
  it('call a shard retrying when an attempt was lost', () => {
    const detail = job('leased');
    const [attempt] = detail.attempts;
    if (!attempt) throw new Error('no attempt');
    expect(glyphOfShard(detail, 'running')).toBe('running');
    expect(glyphOfShard({ ...detail, attempts: [attempt, { ...attempt, state: 'expired' }] }, 'running')).toBe('retrying');
  });
  it('call a signature valid only when this browser checked that very vote', () => {
    const detail = job('sealed', 2, [0]);
    const [first, second] = detail.votes;
    if (!first || !second) throw new Error('no votes');
    const check = {
      valid: false,
      gridKey: '',
      reasons: [],
      votes: [
        { device: first.device, fence: first.fence, valid: true },
        { device: second.device, fence: { epoch: 9, seq: 9 }, valid: true },
      ],
    };
    expect(verdicts(detail, { phase: 'checked', check, receipt: {} }).map((verdict) => verdict.signature)).toEqual([
      'valid',
      'not in the receipt',
      'recorded',
    ]);
    expect(verdicts(detail, { phase: 'checking' })[0]?.signature).toBe('checking');
  });
});
