import { describe, expect, it } from 'vitest';

import { createFrameBuffers } from '#runtime/link/frame-buffers.ts';

describe('frame buffers', () => {
  it('are used again once they came back, and never before', () => {
    const buffers = createFrameBuffers(1_000, 4);
    const one = buffers.take(1_000);
    const two = buffers.take(900);
    expect(two.buffer).not.toBe(one.buffer);
    expect(two).toHaveLength(900);
    buffers.giveBack(two);
    expect(buffers.take(1_000).buffer).toBe(two.buffer);
    expect(buffers.take(1_000).buffer).not.toBe(two.buffer);
  });

  it('are kept up to a number', () => {
    const buffers = createFrameBuffers(1_000, 1);
    const [one, two] = [buffers.take(1_000), buffers.take(1_000)];
    buffers.giveBack(one);
    buffers.giveBack(two);
    expect(buffers.take(1_000).buffer).toBe(one.buffer);
    expect(buffers.take(1_000).buffer).not.toBe(two.buffer);
  });

  it('are made anew for what is larger or much smaller, and such ones are not kept', () => {
    const buffers = createFrameBuffers(1_000, 4);
    for (const size of [1_001, 499]) {
      const odd = buffers.take(size);
      expect(odd).toHaveLength(size);
      buffers.giveBack(odd);
    }
    expect(buffers.take(1_000).buffer.byteLength).toBe(1_000);
  });
});
