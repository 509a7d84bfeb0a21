/**
 * Buffers for the frames of large messages, used again and again by all links of a process. Without them every 8 MiB that is sent leave
 * as much garbage outside of V8's heap, and V8 answers that with whole collections: their pauses and helper threads were most
 * of what a control message waited for.
 */
export interface FrameBuffers {
  /** A buffer of exactly that size, with whatever was in it before. */
  readonly take: (bytes: number) => Buffer;
  /** Nobody looks at it any more. Anything that was not taken here is ignored. */
  readonly giveBack: (buffer: Buffer) => void;
}

/** At most `kept` buffers of `size` bytes are kept; what is larger, or much smaller, is made anew each time. */
export function createFrameBuffers(size: number, kept: number): FrameBuffers {
  const free: Buffer[] = [];
  return {
    take(bytes) {
      if (bytes > size || bytes * 2 < size) return Buffer.allocUnsafe(bytes);
      return (free.pop() ?? Buffer.allocUnsafeSlow(size)).subarray(0, bytes);
    },
    giveBack(buffer) {
      if (buffer.buffer.byteLength !== size || free.length >= kept) return;
      free.push(Buffer.from(buffer.buffer, 0, size));
    },
  };
}
