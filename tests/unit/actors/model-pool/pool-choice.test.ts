import { describe, expect, it } from 'vitest';

import type { ModelPoolRef, PoolReport, ReplicaReport } from '#actors/model-pool/model-pool.protocol.ts';
import { mergedReport, mostAble } from '#actors/model-pool/pool-choice.ts';

const MODEL = { name: 'm', sha256: 'a'.repeat(64), size: 1, contextSize: 512 };
// Only told apart here, never called.
const pool = (name: string): ModelPoolRef => ({ name }) as unknown as ModelPoolRef;

function report(replicas: readonly Partial<ReplicaReport>[], fitsOn: string[] = []): PoolReport {
  const whole = replicas.map((one, i) => ({ device: `d${i}`, state: 'ready' as const, memoryBytes: 1, active: 0, ...one }));
  return { model: MODEL, stored: null, needsBytes: null, fitsOn, replicas: whole };
}

describe('the pools of one model', () => {
  it('are asked in the order in which they can serve', () => {
    const pools = [
      { pool: pool('nothing'), report: report([{ state: 'failed' }]) },
      { pool: pool('could load'), report: report([], ['a machine']) },
      { pool: pool('busy'), report: report([{ active: 6 }, { active: 2 }]) },
      { pool: pool('loads'), report: report([{ state: 'downloading' }]) },
      { pool: pool('less busy'), report: report([{ active: 3 }, { state: 'failed', active: 9 }]) },
    ];
    expect(mostAble(pools).map((one) => (one.pool as unknown as { name: string }).name)).toEqual([
      'less busy',
      'busy',
      'loads',
      'could load',
      'nothing',
    ]);
  });

  it('keep their order when they are alike, so that a coordinator prefers its own devices', () => {
    const [mine, theirs] = [pool('mine'), pool('theirs')];
    const same = [mine, theirs].map((one) => ({ pool: one, report: report([{}]) }));
    expect(mostAble(same).map((one) => one.pool)).toEqual([mine, theirs]);
  });

  it('report as one', () => {
    const merged = mergedReport([report([{ device: 'a' }], ['y']), { ...report([{ device: 'b' }], ['x', 'y']), needsBytes: 7 }]);
    expect(merged).toMatchObject({
      model: MODEL,
      stored: null,
      needsBytes: 7,
      fitsOn: ['x', 'y'],
      replicas: [{ device: 'a' }, { device: 'b' }],
    });
    expect(mergedReport([])).toBeNull();
  });
});
