import type { RawData, WebSocket } from 'ws';

import type { SocketLike } from './socket.ts';

/**
 * A WebSocket of the `ws` library as a link's socket. Set `maxPayload: largestFrame(limits)` and `perMessageDeflate: false` where the
 * WebSocket or its server is made: the first so that no larger message is ever held in memory, the second because compressing small frames
 * costs more than it saves.
 */
export function wsSocket(ws: WebSocket): SocketLike {
  ws.binaryType = 'nodebuffer';
  // An error is always followed by 'close'; without a listener it would end the process.
  ws.on('error', () => undefined);
  return {
    send(data, sent) {
      // What cannot be sent any more is lost with the socket, and the link sends it again: nothing to report.
      if (ws.readyState === ws.OPEN) ws.send(data, () => sent?.());
    },
    close: (code = 1000, reason = '') => ws.close(code, Buffer.from(reason).subarray(0, 120)),
    abort: () => ws.terminate(),
    onMessage: (callback) => void ws.on('message', (data: RawData) => callback(bytesOf(data))),
    onClose: (callback) => void ws.on('close', (code: number, reason: Buffer) => callback(code, reason.toString())),
    get bufferedBytes() {
      return ws.bufferedAmount;
    },
  };
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
