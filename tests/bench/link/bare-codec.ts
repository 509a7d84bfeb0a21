import { Packr, Unpackr } from 'msgpackr';
import { type RawData, WebSocket } from 'ws';

import { envelope, type Envelope } from './envelope.ts';

/**
 * What the link is measured against: the cheapest batched codec of the study that chose it, msgpackr's sequential records, 64
 * messages to a WebSocket frame, each with its length before it. No numbering, no window, no checks of what arrives.
 */
const BATCH = 64;
const SOFT_LIMIT = 1 << 20;
const HARD_LIMIT = 4 << 20;

/** Answers the bytes that it took. */
export async function bareSend(ws: WebSocket, count: number): Promise<number> {
  const packr = new Packr({ useRecords: true, sequential: true });
  let bytes = 0;
  for (let i = 0; i < count;) {
    const size = Math.min(BATCH, count - i);
    const parts = Array.from({ length: size }, (_, j) => Buffer.from(packr.pack(envelope(i + j))));
    const frame = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + part.length + 4, 0));
    let at = 0;
    for (const part of parts) {
      frame.writeUInt32LE(part.length, at);
      part.copy(frame, at + 4);
      at += 4 + part.length;
    }
    ws.send(frame);
    bytes += frame.length;
    i += size;
    if (ws.bufferedAmount > SOFT_LIMIT || (i & 255) === 0) await new Promise((resolve) => setImmediate(resolve));
    while (ws.bufferedAmount > HARD_LIMIT) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return bytes;
}

/** Resolves when that many messages have arrived. */
export async function bareReceive(ws: WebSocket, count: number): Promise<void> {
  const unpackr = new Unpackr({ useRecords: true, sequential: true });
  let seen = 0;
  let sum = 0;
  await new Promise<void>((resolve) => {
    const onFrame = (data: RawData): void => {
      const frame = data as Buffer;
      for (let at = 0; at < frame.length;) {
        const length = frame.readUInt32LE(at);
        const { body } = unpackr.unpack(frame.subarray(at + 4, at + 4 + length)) as Envelope;
        sum += body.shard;
        seen += 1;
        at += 4 + length;
      }
      if (seen < count) return;
      ws.off('message', onFrame);
      resolve();
    };
    ws.on('message', onFrame);
  });
  if (sum < 0) throw new Error('the baseline read nothing');
}
