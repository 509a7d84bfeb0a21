import { describe, expect, it } from 'vitest';

import type { Receipt } from '#actors/contract/receipt.ts';
import { inventDevice, inventJob, receiptOf } from '#tests/support/invented-jobs.ts';

import { checkReceipt, type Claim, type ReceiptFinding } from '../../../../ui/src/worker/receipt-check.ts';

const devices = [0, 1, 2].map((n) => inventDevice(n));
const job = inventJob({ name: 'sealed', shards: 7, devices, state: 'done', shardState: () => 'sealed' });
const make = (index = 3): Receipt => {
  const receipt = receiptOf(job, index);
  if (!receipt) throw new Error('the job is not sealed');
  return receipt;
};
const claimOf = (receipt: Receipt): Claim => ({ job: receipt.manifest.job, shard: receipt.leaf.shard, output: receipt.leaf.output.sha256 });
const check = (receipt: Receipt, claim = claimOf(receipt)): ReceiptFinding => checkReceipt(receipt, claim);
const flip = (hex: string): string => (hex.startsWith('0') ? `1${hex.slice(1)}` : `0${hex.slice(1)}`);

describe('checkReceipt', () => {
  it('finds every shard of a sealed job valid', () => {
    for (let index = 0; index < 7; index++) {
      expect(check(make(index))).toMatchObject({ valid: true, reasons: [], votes: [{ valid: true }, { valid: true }] });
    }
  });

  it('says which vote it is that has a wrong signature', () => {
    const receipt = make();
    const votes = receipt.leaf.votes.map((vote, i) => (i === 0 ? { ...vote, signature: flip(vote.signature) } : vote));
    const finding = check({ ...receipt, leaf: { ...receipt.leaf, votes } });
    expect(finding).toMatchObject({ valid: false, votes: [{ valid: false }, { valid: true }] });
    expect(finding.reasons.join(' ')).toContain(`wrong signature of ${votes[0]?.device}`);
  });

  it.each<[string, (receipt: Receipt) => Receipt, RegExp]>([
    ['another output', (r) => ({ ...r, leaf: { ...r.leaf, output: { ...r.leaf.output, size: 1 } } }), /wrong signature of dev-/],
    ['a changed path', (r) => ({ ...r, proof: r.proof.map(flip) }), /not shard 3 of 7 in the sealed tree/],
    ['a changed manifest', (r) => ({ ...r, manifest: { ...r.manifest, sealedAt: 1 } }), /not signed by grid key/],
    ['too few devices', (r) => ({ ...r, leaf: { ...r.leaf, votes: r.leaf.votes.slice(0, 1) } }), /1 vote, the job asked for 2/],
    [
      'one device twice',
      (r) => ({ ...r, leaf: { ...r.leaf, votes: r.leaf.votes.flatMap((v, i) => (i === 0 ? [v, v] : [])) } }),
      /appears twice/,
    ],
  ])('refuses %s', (_, change, reason) => {
    const finding = check(change(make()));
    expect(finding.valid).toBe(false);
    expect(finding.reasons.join(' ')).toMatch(reason);
  });

  it('refuses a sound receipt of something else than the page shows', () => {
    const receipt = make();
    const claim = claimOf(receipt);
    expect(check(receipt, { ...claim, shard: 4 }).reasons).toEqual(['the receipt is about another shard']);
    expect(check(receipt, { ...claim, job: '6f1f8a52-0000-4000-8000-000000000000' }).reasons).toEqual([
      'the receipt is about another shard',
    ]);
    expect(check(receipt, { ...claim, output: flip(claim.output ?? '') }).reasons).toEqual([
      'the receipt is about another output than the one shown here',
    ]);
    expect(check(receipt, { ...claim, output: null })).toMatchObject({ valid: false });
  });

  it.each([null, undefined, 'text', {}, { version: 1 }])('never throws: %j is no receipt', (raw) => {
    const finding = checkReceipt(raw, claimOf(make()));
    expect(finding).toMatchObject({ valid: false, votes: [], gridKey: '' });
    expect(finding.reasons).toHaveLength(1);
  });
});
