import { describe, expect, it } from 'vitest';

import { toHex } from '#actors/contract/hex.ts';
import { JobSpec } from '#actors/contract/job-spec.ts';
import { logLeaf } from '#actors/contract/log-leaf.ts';
import { proveEntry, signHead } from '#actors/contract/manifest-log.ts';
import { merkleRoot } from '#actors/contract/merkle.ts';
import {
  inputDigestOf,
  leafHashOf,
  leafOf,
  makeReceipt,
  type Manifest,
  manifestBytes,
  moduleOf,
  Receipt,
  type ReceiptLeaf,
  type ReceiptVerdict,
  type SealedVote,
  specDigestOf,
  verifyReceipt,
  voteBytes,
} from '#actors/contract/receipt.ts';
import { canonicalJson } from '#runtime/identity/canonical.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';
import { verifyPure } from '#runtime/identity/verify-pure.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const keyFrom = (seed: number): KeyPair => generateKeyPair(() => new Uint8Array(32).fill(seed));

const JOB = '0199a3c2-7b1e-4f60-8d2a-1c5b9e7f3a11';
const MODULE = sha256Hex(utf8('module'));
const MERGE = sha256Hex(utf8('merge'));
const SPEC = JobSpec.parse({ version: 1, name: 'pi', kind: 'wasm', module: { sha256: MODULE, size: 6 }, shards: { count: 5 } });
const grid = keyFrom(200);
const devices = [1, 2, 3, 4].map((n) => ({ id: `dev-000000000${n}`, key: keyFrom(n) }));

const tools = { sha256, verify };

interface Sealed {
  readonly manifest: Manifest;
  readonly manifestSignature: string;
  readonly leaves: readonly ReceiptLeaf[];
  readonly leafHashes: readonly Uint8Array[];
}

function voteOf(
  device: number,
  shard: number,
  text: string,
  over: { job?: string; seq?: number; module?: string; input?: string } = {},
): SealedVote {
  const { id, key } = devices[device] ?? { id: '', key: grid };
  const fence = { epoch: 3, seq: over.seq ?? shard * 10 + device + 1 };
  const inputDigest = inputDigestOf({ args: [over.input ?? String(shard)], inputs: [], framed: false }, sha256);
  const statement = {
    job: over.job ?? JOB,
    shard,
    fence,
    module: over.module ?? (shard === 5 ? MERGE : MODULE),
    inputDigest,
    output: outputOf(text),
  };
  return { device: id, publicKey: key.publicKey, fence, inputDigest, signature: toHex(key.sign(voteBytes(statement))) };
}

function outputOf(text: string): { sha256: string; size: number } {
  return { sha256: sha256Hex(utf8(text)), size: utf8(text).length };
}

function seal(leaves: readonly ReceiptLeaf[], over: Partial<Manifest> = {}, by: KeyPair = grid): Sealed {
  const leafHashes = leaves.map((leaf) => leafHashOf(leaf, sha256));
  const manifest = {
    version: 1 as const,
    job: JOB,
    tenant: 'physics',
    module: MODULE,
    mergeModule: MERGE,
    spec: specDigestOf(SPEC, sha256),
    shards: leaves.length,
    quorum: 2,
    root: toHex(merkleRoot(leafHashes, sha256)),
    epoch: 3,
    sealedAt: 1_760_000_000_000,
    gridKey: by.publicKey,
    ...over,
  } as Manifest;
  return { manifest, manifestSignature: toHex(by.sign(manifestBytes(manifest))), leaves, leafHashes };
}

/** Five map shards and a merge shard, two votes each, sealed by the grid. */
function honestLeaves(): ReceiptLeaf[] {
  return Array.from({ length: 6 }, (_, shard) =>
    leafOf(
      shard,
      outputOf(`result ${shard}`),
      [0, 1].map((device) => voteOf(device, shard, `result ${shard}`)),
    ),
  );
}

function receiptOf(sealed: Sealed, shard: number): Receipt {
  const leaf = sealed.leaves[shard];
  if (leaf === undefined) throw new Error(`no shard ${shard}`);
  return structuredClone(makeReceipt(sealed, leaf, sha256));
}

const check = (receipt: unknown, gridKey?: string): ReceiptVerdict =>
  verifyReceipt(receipt, { sha256, verify, ...(gridKey === undefined ? {} : { gridKey }) });
const failed = (verdict: ReceiptVerdict): string[] => verdict.checks.filter((c) => !c.ok).map((c) => c.name);

/** A forged leaf 2 inside an otherwise honest job that the grid itself sealed: only the votes' own evidence can speak. */
function sealedWith(leaf: ReceiptLeaf, over: Partial<Manifest> = {}): Receipt {
  const leaves = honestLeaves();
  leaves[2] = leaf;
  return receiptOf(seal(leaves, over), 2);
}

describe('an honest receipt', () => {
  const sealed = seal(honestLeaves());

  it('passes every check, for every shard, after a trip through JSON', () => {
    for (let shard = 0; shard < 6; shard++) {
      const verdict = check(JSON.parse(JSON.stringify(receiptOf(sealed, shard))), grid.publicKey);
      expect(verdict.ok).toBe(true);
      expect(verdict.warnings).toEqual([]);
      expect(verdict.checks.map((c) => c.name)).toEqual([
        'schema',
        'leaf-in-tree',
        'manifest-signature',
        'grid-key',
        'vote-signatures',
        'votes-agree',
        'distinct-devices',
        'quorum',
      ]);
      for (const { detail } of verdict.checks) expect(detail).not.toBe('');
    }
  });

  it('passes with the browser verifier as well', () => {
    expect(verifyReceipt(receiptOf(sealed, 5), { sha256, verify: verifyPure, gridKey: grid.publicKey }).ok).toBe(true);
  });

  it('warns when no key was pinned', () => {
    const verdict = check(receiptOf(sealed, 0));
    expect(verdict.ok).toBe(true);
    expect(verdict.checks.map((c) => c.name)).not.toContain('grid-key');
    expect(verdict.warnings).toEqual([expect.stringContaining(grid.publicKey)]);
  });

  it('warns when one device was enough', () => {
    const verdict = check(
      receiptOf(seal([leafOf(0, outputOf('x'), [voteOf(0, 0, 'x')])], { quorum: 1, mergeModule: null }), 0),
      grid.publicKey,
    );
    expect(verdict.ok).toBe(true);
    expect(verdict.warnings).toEqual([expect.stringContaining('unverified: one device')]);
  });

  it('holds the merge shard to the merge module', () => {
    expect(moduleOf(sealed.manifest, 4)).toBe(MODULE);
    expect(moduleOf(sealed.manifest, 5)).toBe(MERGE);
    const leaves = honestLeaves();
    leaves[5] = leafOf(
      5,
      outputOf('m'),
      [0, 1].map((device) => voteOf(device, 5, 'm', { module: MODULE })),
    );
    expect(failed(check(receiptOf(seal(leaves), 5), grid.publicKey))).toEqual(['vote-signatures']);
  });
});

describe('somebody who alters a receipt', () => {
  const sealed = seal(honestLeaves());
  const altered = (change: (receipt: Receipt) => void, shard = 2): string[] => {
    const receipt = receiptOf(sealed, shard);
    change(receipt);
    return failed(check(receipt, grid.publicKey));
  };

  it('cannot change the output', () => {
    expect(altered((r) => (r.leaf.output.sha256 = sha256Hex(utf8('other'))))).toEqual(['leaf-in-tree', 'vote-signatures']);
    expect(altered((r) => (r.leaf.output.size += 1))).toEqual(['leaf-in-tree', 'vote-signatures']);
  });

  it('cannot put in another vote', () => {
    expect(altered((r) => (r.leaf.votes[1] = voteOf(2, 2, 'result 2')))).toEqual(['leaf-in-tree']);
    expect(altered((r) => (r.leaf.votes[1] = voteOf(2, 2, 'result of my own')))).toEqual(['leaf-in-tree', 'vote-signatures']);
    expect(altered((r) => void r.leaf.votes.reverse())).toEqual(['leaf-in-tree']);
    expect(altered((r) => void r.leaf.votes.pop())).toEqual(['leaf-in-tree', 'quorum']);
  });

  it('cannot move the leaf, or use the proof of another', () => {
    expect(altered((r) => (r.leaf.shard = 3))).toEqual(['leaf-in-tree', 'vote-signatures']);
    expect(altered((r) => (r.proof = receiptOf(sealed, 3).proof))).toEqual(['leaf-in-tree']);
    expect(altered((r) => (r.leaf = receiptOf(sealed, 3).leaf))).toEqual(['leaf-in-tree']);
    expect(altered((r) => (r.proof = []))).toEqual(['leaf-in-tree']);
    expect(altered((r) => (r.proof = r.proof.toReversed()))).toEqual(['leaf-in-tree']);
  });

  it.each<[keyof Manifest, unknown]>([
    ['tenant', 'chemistry'],
    ['spec', sha256Hex(utf8('another spec'))],
    ['quorum', 1],
    ['epoch', 4],
    ['sealedAt', 1],
  ])('cannot change the %s of the manifest', (field, value) => {
    expect(altered((r) => Object.assign(r.manifest, { [field]: value }))).toEqual(['manifest-signature']);
  });

  it('cannot change what the votes are about either', () => {
    expect(altered((r) => (r.manifest.job = '0199a3c2-7b1e-4f60-8d2a-1c5b9e7f3a12'))).toEqual(['manifest-signature', 'vote-signatures']);
    expect(altered((r) => (r.manifest.module = MERGE))).toEqual(['manifest-signature', 'vote-signatures']);
    expect(altered((r) => (r.manifest.root = sha256Hex(utf8('root'))))).toEqual(['leaf-in-tree', 'manifest-signature']);
    expect(altered((r) => (r.manifest.shards = 60))).toEqual(['leaf-in-tree', 'manifest-signature']);
  });

  it('cannot seal with a key of their own when the grid key is pinned', () => {
    const own = receiptOf(seal(honestLeaves(), {}, keyFrom(99)), 2);
    expect(failed(check(own, grid.publicKey))).toEqual(['grid-key']);
    expect(check(own).warnings).toHaveLength(1);
    const renamed = receiptOf(seal(honestLeaves(), { gridKey: grid.publicKey }, keyFrom(99)), 2);
    expect(failed(check(renamed, grid.publicKey))).toEqual(['manifest-signature']);
  });

  it('cannot pass off a signature of one kind as another', () => {
    const receipt = receiptOf(sealed, 2);
    receipt.manifestSignature = toHex(grid.sign(utf8(JSON.stringify(receipt.manifest))));
    expect(failed(check(receipt, grid.publicKey))).toEqual(['manifest-signature']);
  });
});

describe('a grid that seals what it should not', () => {
  it('cannot count one device twice', () => {
    const vote = voteOf(0, 2, 'r');
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), [vote, vote])), grid.publicKey))).toEqual(['distinct-devices']);
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), [vote, voteOf(0, 2, 'r', { seq: 99 })])), grid.publicKey))).toEqual([
      'distinct-devices',
    ]);
    const renamed = { ...voteOf(0, 2, 'r', { seq: 99 }), device: 'dev-0000000009' };
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), [vote, renamed])), grid.publicKey))).toEqual(['distinct-devices']);
  });

  it('cannot count one device with two keys', () => {
    const votes = [voteOf(0, 2, 'r'), { ...voteOf(1, 2, 'r'), device: 'dev-0000000001' }];
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), votes)), grid.publicKey))).toEqual(['distinct-devices']);
  });

  it('cannot count two votes of one attempt', () => {
    const votes = [voteOf(0, 2, 'r', { seq: 50 }), voteOf(1, 2, 'r', { seq: 50 })];
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), votes)), grid.publicKey))).toEqual(['distinct-devices']);
  });

  it('cannot use a vote of another job, shard, module or fence', () => {
    const good = voteOf(0, 2, 'r');
    const wrong = [
      voteOf(1, 2, 'r', { job: '0199a3c2-7b1e-4f60-8d2a-1c5b9e7f3a12' }),
      { ...voteOf(1, 3, 'r', { input: '2' }) },
      voteOf(1, 2, 'r', { module: MERGE }),
      { ...voteOf(1, 2, 'r'), fence: { epoch: 3, seq: 77 } },
      { ...voteOf(1, 2, 'r'), fence: { epoch: 4, seq: 22 } },
      { ...voteOf(1, 2, 'r'), signature: good.signature },
      { ...voteOf(1, 2, 'r'), publicKey: devices[3]?.key.publicKey ?? '' },
    ];
    for (const vote of wrong)
      expect(failed(check(sealedWith(leafOf(2, outputOf('r'), [good, vote])), grid.publicKey))).toEqual(['vote-signatures']);
  });

  it('cannot count votes that saw different inputs', () => {
    const votes = [voteOf(0, 2, 'r'), voteOf(1, 2, 'r', { input: 'something else' })];
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), votes)), grid.publicKey))).toEqual(['votes-agree']);
  });

  it('cannot accept with fewer votes than the job asked for', () => {
    expect(failed(check(sealedWith(leafOf(2, outputOf('r'), [voteOf(0, 2, 'r')])), grid.publicKey))).toEqual(['quorum']);
    expect(
      failed(check(sealedWith(leafOf(2, outputOf('r'), [voteOf(0, 2, 'r'), voteOf(1, 2, 'r')]), { quorum: 3 }), grid.publicKey)),
    ).toEqual(['quorum']);
  });
});

describe('what is not a receipt', () => {
  const receipt = receiptOf(seal(honestLeaves()), 0);

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['text', 'receipt'],
    ['another version', { ...receipt, version: 2 }],
    ['an additional field', { ...receipt, note: 'trust me' }],
    ['no votes', { ...receipt, leaf: { ...receipt.leaf, votes: [] } }],
    ['a proof of great length', { ...receipt, proof: Array.from({ length: 33 }, () => MODULE) }],
    ['a fraction of a shard', { ...receipt, leaf: { ...receipt.leaf, shard: 0.5 } }],
    ['an infinite time', { ...receipt, manifest: { ...receipt.manifest, sealedAt: Number.POSITIVE_INFINITY } }],
    ['half a character', { ...receipt, manifest: { ...receipt.manifest, tenant: '\ud800' } }],
  ])('fails as %s, without a throw', (_name, value) => {
    const verdict = check(value, grid.publicKey);
    expect(verdict.ok).toBe(false);
    expect(verdict.checks.map((c) => c.name)).toEqual(['schema']);
    expect(verdict.checks[0]?.detail).not.toBe('');
  });

  it('names the field', () => {
    const wrong = { ...receipt, leaf: { ...receipt.leaf, output: { sha256: 'ABC', size: 1 } } };
    expect(check(wrong).checks[0]?.detail).toContain('leaf.output.sha256: expected 64 lower-case hex digits');
  });
});

describe('signed bytes', () => {
  const statement = { job: JOB, shard: 7, fence: { epoch: 2, seq: 9 }, module: MODULE, inputDigest: MERGE, output: outputOf('x') };

  it('are these, now and for ever', () => {
    expect(new TextDecoder().decode(voteBytes(statement))).toBe(
      `corpgrid.vote.v1\0{"fence":{"epoch":2,"seq":9},"inputDigest":"${MERGE}","job":"${JOB}","module":"${MODULE}","output":{"sha256":"${outputOf('x').sha256}","size":1},"shard":7}`,
    );
    expect(inputDigestOf({ args: ['a', 'é'], inputs: [MODULE], framed: true }, sha256)).toBe(
      sha256Hex(utf8(`corpgrid.input.v1\0{"args":["a","é"],"framed":true,"inputs":["${MODULE}"]}`)),
    );
  });

  it('of the manifest carry a name of their own', () => {
    const { manifest } = seal(honestLeaves());
    const text = new TextDecoder().decode(manifestBytes(manifest));
    expect(text.startsWith('corpgrid.manifest.v1\0{"epoch":3,')).toBe(true);
    expect(JSON.parse(text.slice(text.indexOf('{')))).toEqual(manifest);
  });

  it('do not depend on what else the object carries', () => {
    const wider = { ...statement, seconds: 3, output: { ...statement.output, existed: true }, fence: { ...statement.fence, partition: 1 } };
    expect(voteBytes(wider)).toEqual(voteBytes(statement));
  });

  it('tell apart arguments, inputs and framing', () => {
    const digests = [
      { args: ['ab'], inputs: [], framed: false },
      { args: ['a', 'b'], inputs: [], framed: false },
      { args: ['ab'], inputs: [MODULE], framed: false },
      { args: ['ab'], inputs: [MODULE, MERGE], framed: false },
      { args: ['ab'], inputs: [MERGE, MODULE], framed: false },
      { args: ['ab'], inputs: [], framed: true },
    ].map((input) => inputDigestOf(input, sha256));
    expect(new Set(digests).size).toBe(digests.length);
  });

  it('make one leaf of the same votes in any order', () => {
    const votes = [0, 1, 2].map((device) => voteOf(device, 2, 'r'));
    expect(leafOf(2, outputOf('r'), votes.toReversed())).toEqual(leafOf(2, outputOf('r'), votes));
  });

  it('know a spec by its content', () => {
    const { name, ...rest } = SPEC;
    expect(specDigestOf({ ...rest, name }, sha256)).toBe(specDigestOf(SPEC, sha256));
    expect(specDigestOf({ ...SPEC, quorum: 3 }, sha256)).not.toBe(specDigestOf(SPEC, sha256));
  });
});

describe('a receipt of version 2', () => {
  const decided = (by: 'quorum' | 'belief' | 'core', belief: number | null, votes = [0]): ReceiptLeaf[] =>
    Array.from({ length: 6 }, (_, shard) =>
      leafOf(
        shard,
        outputOf(`result ${shard}`),
        votes.map((device) => voteOf(device, shard, `result ${shard}`)),
        { by, belief },
      ),
    );
  const checked = (leaves: readonly ReceiptLeaf[], over: Partial<Manifest>) => {
    const verdict = verifyReceipt(receiptOf(seal(leaves, over), 1), tools);
    return { ok: verdict.ok, wrong: verdict.checks.filter((c) => !c.ok).map((c) => c.name), warnings: verdict.warnings };
  };

  it('holds by belief that reaches what the job asked for, with one vote and no warning of it', () => {
    const { ok, warnings } = checked(decided('belief', 0.9991), { version: 2, maxError: 1e-3, quorum: 1 });
    expect(ok).toBe(true);
    expect(warnings.some((text) => text.startsWith('unverified'))).toBe(false);
  });

  it('does not hold by less belief, by none, or where the job asked for votes', () => {
    expect(checked(decided('belief', 0.99), { version: 2, maxError: 1e-3, quorum: 1 }).wrong).toEqual(['quorum']);
    expect(checked(decided('belief', null), { version: 2, maxError: 1e-3, quorum: 1 }).wrong).toEqual(['quorum']);
    expect(checked(decided('belief', 1), { version: 2, maxError: null, quorum: 2 }).wrong).toEqual(['quorum']);
  });

  it('holds by the word of a trusted device, and by enough votes, not by too few', () => {
    expect(checked(decided('core', 1), { version: 2, maxError: 1e-3, quorum: 1 }).ok).toBe(true);
    expect(checked(decided('quorum', null, [0, 1]), { version: 2, maxError: null, quorum: 2 }).ok).toBe(true);
    expect(checked(decided('quorum', null), { version: 2, maxError: null, quorum: 2 }).wrong).toEqual(['quorum']);
  });

  it('lends none of its words to one of version 1', () => {
    expect(checked(decided('core', 1), { version: 1, quorum: 2 }).wrong).toEqual(['quorum']);
  });

  it('does not hold when its belief was raised afterwards', () => {
    const receipt = receiptOf(seal(decided('belief', 0.99), { version: 2, maxError: 1e-3, quorum: 1 }), 1);
    const raised = { ...receipt, leaf: { ...receipt.leaf, belief: 0.9999 } };
    expect(
      verifyReceipt(raised, tools)
        .checks.filter((c) => !c.ok)
        .map((c) => c.name),
    ).toEqual(['leaf-in-tree']);
  });
});

describe('a receipt with its place in the log', () => {
  const sealed = seal(honestLeaves());
  const manifest = { body: canonicalJson(sealed.manifest), signature: sealed.manifestSignature };
  const leaves = [
    logLeaf({ body: '{}', signature: '0' }, sha256),
    logLeaf(manifest, sha256),
    logLeaf({ body: '{}', signature: '1' }, sha256),
  ];
  const logOf = (by: KeyPair) => proveEntry(leaves, 1, signHead(leaves, { key: by, at: 1, sha256 }), sha256);
  const wrong = (log: unknown) =>
    verifyReceipt({ ...receiptOf(sealed, 1), log }, tools)
      .checks.filter((c) => !c.ok)
      .map((c) => c.name);

  it('holds, and only there, under the key that sealed it', () => {
    expect(wrong(logOf(grid))).toEqual([]);
    expect(wrong({ ...logOf(grid), position: 2 })).toEqual(['in-log']);
    expect(wrong({ ...logOf(grid), proof: [] })).toEqual(['in-log']);
    expect(wrong(logOf(generateKeyPair()))).toEqual(['in-log']);
  });

  it('does not hold with the place of another manifest', () => {
    const other = proveEntry(leaves, 0, signHead(leaves, { key: grid, at: 1, sha256 }), sha256);
    expect(wrong(other)).toEqual(['in-log']);
  });
});
