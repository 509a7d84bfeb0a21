import { describe, expect, it } from 'vitest';

import { charge, readLoad, refund } from '#actors/placement/fleet-node.ts';
import { roomBlock, shardBlock, standingBlock } from '#actors/placement/hard-filters.ts';

import { job, node } from './scene.ts';

const GPU = { name: 'L4', backend: 'cuda', memoryBytes: 24 * 2 ** 30 } as const;

function standing(machine: Parameters<typeof node>, spec: Parameters<typeof job>[1] = {}) {
  return standingBlock(node(...machine), job('j', spec).demand, undefined, 0);
}

describe('what keeps a machine from a job for good or for now', () => {
  it('lets a plain job run on a plain machine', () => {
    expect(standing(['a'])).toBeNull();
  });

  it('asks for mains power unless the job says otherwise, and unknown is not mains', () => {
    expect(standing(['a', {}, { power: 'battery' }])).toBe('power');
    expect(standing(['a', {}, { power: 'unknown' }])).toBe('power');
    expect(standing(['a', {}, { power: 'unknown' }], { constraints: { power: 'any' } })).toBeNull();
  });

  it('leaves a machine to its owner, and takes an owner that cannot be seen for present', () => {
    expect(standing(['a', {}, { owner: 'present' }])).toBe('owner');
    expect(standing(['a', {}, { owner: 'unknown' }])).toBe('owner');
    expect(standing(['a', {}, { owner: 'away' }])).toBeNull();
    expect(standing(['a', {}, { owner: 'present' }], { constraints: { owner: 'any' } })).toBeNull();
  });

  it('names each thing that a machine lacks', () => {
    const cases: [Parameters<typeof node>[1], Parameters<typeof job>[1], string][] = [
      [{ kinds: ['inference'] }, {}, 'kind'],
      [{ os: 'win32' }, { constraints: { os: ['linux', 'darwin'] } }, 'os'],
      [{ arch: 'arm64' }, { constraints: { arch: ['x64'] } }, 'arch'],
      [{}, { constraints: { sites: ['berlin'] } }, 'site'],
      [{ site: 'oslo' }, { constraints: { sites: ['berlin'] } }, 'site'],
      [{}, { resources: { sandbox: 'weak' } }, 'sandbox'],
      [{ sandbox: 'limited' }, { resources: { sandbox: 'strong' } }, 'sandbox'],
      [{ cores: 2, slots: 1 }, { resources: { cores: 3 } }, 'coresTotal'],
      [{ memoryBytes: 2 ** 30 }, { resources: { memoryMiB: 1025 } }, 'memoryTotal'],
      [{ memoryBytes: 2 ** 27 }, {}, 'memoryTotal'],
      [{}, { resources: { gpu: {} } }, 'backend'],
      [{ gpus: [GPU] }, { resources: { gpu: { backend: 'metal' } } }, 'backend'],
      [{ gpus: [GPU] }, { resources: { gpu: { count: 2 } } }, 'backend'],
      [{ gpus: [GPU] }, { resources: { gpu: { vramMiB: 24 * 1024 + 1 } } }, 'vramTotal'],
    ];
    for (const [machine, spec, reason] of cases) expect(standing(['a', machine], spec), JSON.stringify([machine, spec])).toBe(reason);
    expect(standing(['dev-0000000001'], { constraints: { excludeDevices: ['dev-0000000001'] } })).toBe('excluded');
    expect(standing(['a', {}, { celsius: 91 }])).toBe('temperature');
    expect(standing(['a', { sandbox: 'strong' }], { resources: { sandbox: 'limited' } })).toBeNull();
  });

  it('shuts out who is draining, cut off, in quarantine, or in a pause that is not over', () => {
    const { demand } = job('j');
    expect(standingBlock({ ...node('a'), draining: true }, demand, undefined, 0)).toBe('draining');
    expect(standingBlock({ ...node('a'), suspended: true }, demand, undefined, 0)).toBe('suspended');
    expect(standingBlock(node('a'), demand, { quarantined: true, backoffUntil: 0 }, 0)).toBe('quarantine');
    expect(standingBlock(node('a'), demand, { quarantined: false, backoffUntil: 10 }, 9)).toBe('backoff');
    expect(standingBlock(node('a'), demand, { quarantined: false, backoffUntil: 10 }, 10)).toBeNull();
  });
});

describe('room on a machine', () => {
  function open(...args: Parameters<typeof node>) {
    const machine = node(...args);
    machine.freeSlots = machine.slots;
    return machine;
  }

  it('is what promises to attempts leave, and comes back with them', () => {
    const machine = open('a', { gpus: [GPU, GPU] });
    const { demand } = job('j', { resources: { cores: 3, gpu: { vramMiB: 16 * 1024 } } });
    const first = charge(machine, demand);
    expect(roomBlock(machine, demand)).toBe('cores');
    const { demand: light } = job('j', { resources: { cores: 0.5, gpu: { vramMiB: 16 * 1024 } } });
    const second = charge(machine, light);
    expect(second.gpus).not.toEqual(first.gpus);
    expect(roomBlock(machine, light)).toBe('vram');
    refund(machine, first);
    refund(machine, second);
    expect(machine).toEqual(open('a', { gpus: [GPU, GPU] }));
  });

  it('counts what other programs use of memory and of GPU memory', () => {
    const machine = open('a', { gpus: [GPU] }, { gpuUsedBytes: [20 * 2 ** 30] });
    expect(roomBlock(machine, job('j', { resources: { gpu: { vramMiB: 4 * 1024 } } }).demand)).toBeNull();
    expect(roomBlock(machine, job('j', { resources: { gpu: { vramMiB: 4 * 1024 + 1 } } }).demand)).toBe('vram');
    expect(roomBlock(machine, job('j', { resources: { gpu: {} } }).demand)).toBe('vram');
    charge(machine, job('j', { resources: { memoryMiB: 4096 } }).demand);
    // 4 GiB of the 12 that are in use are what the attempt was promised.
    readLoad(machine, { load: 1, memoryFreeBytes: 4 * 2 ** 30 });
    expect(roomBlock(machine, job('j', { resources: { memoryMiB: 4096 } }).demand)).toBeNull();
    expect(roomBlock(machine, job('j', { resources: { memoryMiB: 4097 } }).demand)).toBe('memory');
  });

  it('takes an unreadable disk for full only when disk is asked for', () => {
    expect(roomBlock(open('a'), job('j').demand)).toBeNull();
    expect(roomBlock(open('a'), job('j', { resources: { diskMiB: 1 } }).demand)).toBe('disk');
    expect(roomBlock(open('a', {}, { diskFreeBytes: 2 ** 20 }), job('j', { resources: { diskMiB: 1 } }).demand)).toBeNull();
    expect(roomBlock({ ...open('a'), freeSlots: 0 }, job('j').demand)).toBe('slots');
  });
});

describe('one shard', () => {
  it('bars devices and, when it spreads, sites', () => {
    const machine = node('a', { site: 'oslo' });
    const none = { devices: new Set<string>(), sites: new Set<string>() };
    expect(shardBlock(machine, none)).toBeNull();
    expect(shardBlock(machine, { ...none, devices: new Set(['a']) })).toBe('barred');
    expect(shardBlock(machine, { ...none, sites: new Set(['oslo']) })).toBe('spread');
  });
});
