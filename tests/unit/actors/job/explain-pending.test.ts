import { describe, expect, it } from 'vitest';

import { JobSpec } from '#actors/contract/job-spec.ts';
import { DEVICE_REASONS, REASON_TEXT, WhyPending } from '#actors/contract/why-pending.ts';
import { explainPending, type PendingFacts } from '#actors/job/explain-pending.ts';

const JOB: PendingFacts['job'] = {
  id: '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90',
  partition: 0,
  tenant: 'physics',
  submittedBy: 'ada',
  spec: JobSpec.parse({ version: 1, name: 'j', kind: 'wasm', module: { sha256: '0'.repeat(64), size: 1 }, shards: { count: 3 } }),
  state: 'running',
  reason: null,
  submittedAt: 0,
  finishedAt: null,
};
const DEVICES = ['a', 'b', 'c', 'd'].map((id) => ({ id, state: id === 'd' ? ('revoked' as const) : ('present' as const) }));
const BLOCKS = { reasons: new Map([['slots', 1]] as const), eligible: 0, connected: ['a'], overQuota: false };
const facts: PendingFacts = { job: JOB, shard: null, pending: 3, devices: DEVICES, blocks: BLOCKS, at: 5_000 };

describe('why a shard is pending', () => {
  it('counts every enrolled device once', () => {
    const why = explainPending(facts);
    expect(WhyPending.parse(why)).toEqual(why);
    expect(why.reasons).toEqual([
      { reason: 'absent', devices: 2, text: REASON_TEXT.absent },
      { reason: 'slots', devices: 1, text: REASON_TEXT.slots },
      { reason: 'revoked', devices: 1, text: REASON_TEXT.revoked },
    ]);
    expect(why.eligible + why.reasons.reduce((sum, { devices }) => sum + devices, 0)).toBe(why.devices);
    expect(why.text).toBe('no device can take it now: of 4, 2 not connected; 1 have no free slot; 1 revoked');
  });

  it('says what no device can help', () => {
    const hold = (change: Partial<PendingFacts>) => explainPending({ ...facts, ...change }).hold;
    expect(hold({ job: { ...JOB, state: 'paused' } })).toBe('paused');
    expect(hold({ job: { ...JOB, state: 'queued' } })).toBe('queued');
    expect(hold({ job: { ...JOB, state: 'done' } })).toBe('ended');
    expect(hold({ shard: { index: 3, state: 'blocked', wanted: 1 } })).toBe('merge');
    expect(hold({ blocks: { ...BLOCKS, overQuota: true } })).toBe('quota');
    expect(hold({ job: { ...JOB, state: 'queued', spec: { ...JOB.spec, needs: [JOB.id] } } })).toBe('needs');
    expect(hold({ shard: { index: 0, state: 'leased', wanted: 1, retryAt: 5_001 } })).toBe('retry');
    expect(hold({ shard: { index: 0, state: 'leased', wanted: 1, retryAt: 5_000 } })).toBe('none');
    expect(hold({})).toBe('none');
    expect(explainPending({ ...facts, shard: { index: 0, state: 'voting', wanted: 0 } }).text).toContain('waits for no device');
    expect(explainPending({ ...facts, blocks: { ...BLOCKS, eligible: 2 } }).text).toContain('waits for its turn');
    expect(explainPending({ ...facts, devices: [] }).text).toContain('tokens create');
  });

  it('has words for every reason', () => {
    expect(Object.keys(REASON_TEXT).sort()).toEqual([...DEVICE_REASONS].sort());
  });
});
