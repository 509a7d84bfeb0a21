import { describe, expect, it } from 'vitest';

import { freeForModels, ModelMemory } from '#actors/device/model-memory.ts';

/** A ledger of 100 bytes, and what it asked for. */
function ledger(): { memory: ModelMemory; events: string[]; taken: () => string[]; ready: (model: string, bytes: number) => void } {
  const events: string[] = [];
  const memory = new ModelMemory(100, {
    load: (model) => events.push(`load ${model}`),
    askToGo: (model) => events.push(`ask ${model}`),
    refuse: (model) => events.push(`refuse ${model}`),
  });
  const ready = (model: string, bytes: number): void => {
    memory.want(model, bytes);
    memory.state(model, 'ready', bytes);
  };
  return { memory, events, ready, taken: () => events.splice(0) };
}

describe('the ledger of memory', () => {
  it('debits an estimate, and the true figure once the model is there', () => {
    const { memory, taken } = ledger();
    memory.want('a', 60);
    expect([memory.freeBytes, memory.loadingBytes]).toEqual([40, 60]);
    memory.state('a', 'loading', 70);
    expect(memory.freeBytes).toBe(30);
    memory.state('a', 'ready', 50);
    expect([memory.freeBytes, memory.loadingBytes]).toEqual([50, 0]);
    memory.leaves('a');
    expect(memory.freeBytes).toBe(50);
    expect(memory.state('a', 'unloaded', 0)).toBe(true);
    expect(memory.freeBytes).toBe(100);
    expect(taken()).toEqual(['load a']);
  });

  it('asks idle models to go, the one used longest ago first, and only as many as it takes', () => {
    const { memory, ready, taken } = ledger();
    for (const model of ['a', 'b', 'c']) ready(model, 30);
    memory.use('a', 1);
    memory.use('a', -1);
    taken();
    memory.want('d', 30);
    expect(taken()).toEqual(['ask b']);
    memory.leaves('b');
    expect(taken()).toEqual([]);
    memory.state('b', 'unloaded', 0);
    expect(taken()).toEqual(['load d']);
  });

  it('never asks a busy one, goes on to the next when one says that it is busy, and refuses when all are', () => {
    const { memory, ready, taken } = ledger();
    for (const model of ['a', 'b', 'c']) ready(model, 30);
    memory.use('a', 1);
    taken();
    memory.want('d', 30);
    memory.keeps('b');
    expect(taken()).toEqual(['ask b', 'ask c']);
    memory.keeps('c');
    expect(taken()).toEqual(['refuse d']);
    memory.want('e', 101);
    expect(taken()).toEqual(['refuse e']);
  });

  it('asks nobody when that would not be enough', () => {
    const { memory, ready, taken } = ledger();
    for (const model of ['a', 'b']) ready(model, 40);
    memory.use('a', 1);
    taken();
    memory.want('c', 70);
    expect(taken()).toEqual(['refuse c']);
  });

  it('knows what jobs were promised and what programs of others take', () => {
    const { memory, taken } = ledger();
    memory.jobs(50);
    memory.want('a', 60);
    expect(taken()).toEqual(['refuse a']);
    memory.jobs(0);
    memory.reading(55);
    memory.want('a', 60);
    memory.want('b', 50);
    memory.want('c', 10);
    expect(taken()).toEqual(['refuse a', 'load b', 'refuse c']);
    memory.reading(null);
    memory.want('c', 10);
    expect(taken()).toEqual(['load c']);
  });

  it('loads a model again when it is gone, and says nothing of its end', () => {
    const { memory, ready, taken } = ledger();
    ready('a', 60);
    memory.leaves('a');
    memory.want('a', 60);
    expect(taken()).toEqual(['load a']);
    expect(memory.state('a', 'unloaded', 0)).toBe(false);
    expect(taken()).toEqual(['load a']);
  });
});

describe('free memory for models', () => {
  it('is that of the GPUs where there are some, and unknown where nobody can tell', () => {
    const beat = { type: 'beat', load: 0, memoryFreeBytes: 70, running: 0 } as const;
    const vitals = { power: 'mains', owner: 'away', celsius: null, diskFreeBytes: null } as const;
    expect(freeForModels(0, beat)).toBe(70);
    expect(freeForModels(0, { ...beat, memoryFreeBytes: 0 })).toBeNull();
    expect(freeForModels(100, beat)).toBeNull();
    expect(freeForModels(100, { ...beat, vitals: { ...vitals, gpuUsedBytes: [20, null] } })).toBeNull();
    expect(freeForModels(100, { ...beat, vitals: { ...vitals, gpuUsedBytes: [20, 30] } })).toBe(50);
  });
});
