import { type RawData, WebSocket } from 'ws';

import { BODY_BYTES, URGENT_EVERY_MS } from './end.ts';
import { monotonicMs } from './envelope.ts';

/**
 * What the link's control lane is measured against: the same bodies in pieces of the same size over one bare WebSocket, with as many
 * on their way, and the urgent messages over another one that they have for themselves. Nothing can wait behind a body
 * there, so what it shows is the machine: two event loops, their collections, and whoever else wants the cores.
 */
const PIECE_BYTES = 64 * 1024;
const PIECES_UNDER_WAY = 4;

export interface BareEnd {
  urge(ms: number): Promise<void>;
  /** How long each urgent message took, since the last call. */
  delays(): readonly number[];
}

/** Either end of the two sockets. A piece is answered by an empty frame. */
export function createBareEnd(bodies: WebSocket, urgent: WebSocket): BareEnd {
  let delaysMs: number[] = [];
  let body = new Uint8Array(BODY_BYTES);
  let filled = 0;
  const flight = { pieces: 0, heard: (): void => undefined };

  bodies.on('message', (data: RawData) => {
    const piece = data as Buffer;
    if (piece.length === 0) {
      flight.pieces -= 1;
      return flight.heard();
    }
    body.set(piece, filled);
    filled += piece.length;
    if (filled === BODY_BYTES) {
      body = new Uint8Array(BODY_BYTES);
      filled = 0;
    }
    bodies.send(Buffer.alloc(0));
  });
  urgent.on('message', (data: RawData) => void delaysMs.push(monotonicMs() - Number((data as Buffer).toString())));

  const hearing = (): Promise<void> => new Promise((resolve) => (flight.heard = resolve));

  return {
    async urge(ms) {
      const urging = setInterval(() => urgent.send(String(monotonicMs())), URGENT_EVERY_MS);
      const whole = Buffer.alloc(BODY_BYTES, 7);
      for (const end = performance.now() + ms; performance.now() < end;) {
        for (let at = 0; at < BODY_BYTES; at += PIECE_BYTES) {
          while (flight.pieces === PIECES_UNDER_WAY) await hearing();
          flight.pieces += 1;
          bodies.send(whole.subarray(at, at + PIECE_BYTES));
        }
      }
      clearInterval(urging);
      while (flight.pieces > 0) await hearing();
    },
    delays() {
      const answer = delaysMs;
      delaysMs = [];
      return answer;
    },
  };
}
