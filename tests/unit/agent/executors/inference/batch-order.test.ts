import { describe, expect, it } from 'vitest';

import { createBatchOrder, queuedSequenceIds } from '#agent/executors/inference/batch-order.ts';

type Items = Parameters<ReturnType<typeof createBatchOrder>>[0]['items'];

const items = (...lengths: number[]): Items =>
  lengths.map((length) => ({ tokens: Array.from({ length }, () => 1), logits: [], evaluationPriority: 5 })) as unknown as Items;

function plan(ids: number[] | undefined, size: number, ...lengths: number[]): [item: number, amount: number][] {
  const list = items(...lengths);
  const order = createBatchOrder(
    () => ids,
    () => {},
  );
  return order({ items: list, size }).map(({ item, processAmount }) => [list.indexOf(item), processAmount]);
}

describe('the order of a batch', () => {
  it('is that of the sequences', () => {
    expect(plan([3, 0, 2], 512, 1, 1, 1)).toEqual([[1, 1], [2, 1], [0, 1]]); // prettier-ignore
  });

  it('keeps a place for every stream beside a long prompt', () => {
    expect(plan([0, 1, 2], 512, 2000, 1, 1)).toEqual([[0, 510], [1, 1], [2, 1]]); // prettier-ignore
  });

  it('gives the prompts what is left, in their order, and never more than there is room', () => {
    expect(plan([0, 1, 2], 10, 8, 8, 1)).toEqual([[0, 8], [1, 1], [2, 1]]); // prettier-ignore
    expect(plan([0, 1, 2], 2, 1, 1, 1)).toEqual([[0, 1], [1, 1]]); // prettier-ignore
  });

  it('stays as it is when the sequences are not known', () => {
    expect(plan(undefined, 512, 1, 3, 1)).toEqual([[0, 1], [1, 3], [2, 1]]); // prettier-ignore
  });

  it('gives whoever is read in many places every other batch alone, and the others the rest', () => {
    const read = (length: number): Items[number] => ({ ...items(length)[0], logits: Array.from({ length }, () => true) }) as Items[number];
    const [stream, prompt] = items(1, 3) as [Items[number], Items[number]];
    const [audit, other] = [read(20), read(4)];
    const order = createBatchOrder(
      () => undefined,
      () => {},
    );
    const next = (...list: Items[number][]) => order({ items: list, size: 16 });
    expect(next(stream, audit, prompt, other)).toEqual([{ item: audit, processAmount: 16 }]);
    expect(next(stream, audit, prompt, other)).toEqual([{ item: stream, processAmount: 1 }, { item: prompt, processAmount: 3 }]); // prettier-ignore
    expect(next(stream, other)).toEqual([{ item: other, processAmount: 4 }]);
    expect(next(other)).toEqual([{ item: other, processAmount: 4 }]);
  });

  it('ticks once a batch', () => {
    let ticks = 0;
    const order = createBatchOrder(
      () => undefined,
      () => (ticks += 1),
    );
    order({ items: items(1), size: 1 });
    order({ items: items(1), size: 1 });
    expect(ticks).toBe(2);
  });
});

describe("the engine's private queue", () => {
  it('is read when it is what it was', () => {
    expect(queuedSequenceIds({ _queuedDecodes: [{ sequenceId: 4 }, { sequenceId: 1 }] }, 2)).toEqual([4, 1]);
  });

  it('is left alone when it is anything else', () => {
    for (const context of [
      undefined,
      {},
      { _queuedDecodes: 3 },
      { _queuedDecodes: [{ sequenceId: 1 }] },
      { _queuedDecodes: [{ sequenceId: 1 }, null] },
      { _queuedDecodes: [{ id: 1 }, { id: 2 }] },
    ]) {
      expect(queuedSequenceIds(context, 2)).toBeUndefined();
    }
  });
});
