import { describe, expect, it } from 'vitest';

import type { Receipt } from '#actors/contract/receipt.ts';
import { inventDevice, inventJob, receiptOf } from '#tests/support/invented-jobs.ts';

import { checkReceipt } from '../../../../ui/src/worker/receipt-check.ts';

const devices = [0, 1, 2].map((n) => inventDevice(n));
const job = inventJob({ name: 'sealed', shards: 7, devices, state: 'done', shardState: () => 'sealed' });
const make = (index = 3): Receipt => {
  const receipt = receiptOf(job, index);
  if (!receipt) throw new Error('the job is not sealed');
  return receipt;
};
const flip = (hex: string): string => (hex.startsWith('0') ? `1${hex.slice(1)}` : `0${hex.slice(1)}`);

describe('checkReceipt', () => {
  it('finds every shard of a sealed job valid', () => {
    for (let index = 0; index < 7; index++) {
      expect(checkReceipt(make(index))).toMatchObject({ valid: true, reasons: [], votes: [{ valid: true }, { valid: true }] });
    }
  });

  it.each<[string, (receipt: Receipt) => Receipt, RegExp]>([
    ['another output', (r) => ({ ...r, leaf: { ...r.leaf, output: { ...r.leaf.output, size: 1 } } }), /signature of dev-.* does not fit/],
    ['a changed signature', (r) => ({ ...r, leaf: { ...r.leaf, votes: r.leaf.votes.map((v, i) => (i === 0 ? { ...v, signature: flip(v.signature) } : v)) } }), /does not fit its vote/],
    ['a changed path', (r) => ({ ...r, proof: r.proof.map(flip) }), /not part of the job/],
    ['a changed manifest', (r) => ({ ...r, manifest: { ...r.manifest, sealedAt: 1 } }), /grid's own signature/],
    ['too few devices', (r) => ({ ...r, leaf: { ...r.leaf, votes: r.leaf.votes.slice(0, 1) } }), /asks for 2 devices, and 1 signed/],
    ['one device twice', (r) => ({ ...r, leaf: { ...r.leaf, votes: r.leaf.votes.flatMap((v, i) => (i === 0 ? [v, v] : [])) } }), /asks for 2 devices, and 1 signed/],
    ['another place', (r) => ({ ...r, leaf: { ...r.leaf, shard: 4 } }), /not part of the job/],
  ])('refuses %s', (_, change, reason) => {
    const check = checkReceipt(change(make()));
    expect(check.valid).toBe(false);
    expect(check.reasons.join(' ')).toMatch(reason);
  });

  it.each([null, undefined, 'text', {}, { version: 1 }])('never throws: %j is no receipt', (raw) => {
    expect(checkReceipt(raw)).toMatchObject({ valid: false, votes: [] });
  });
});
