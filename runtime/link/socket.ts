/**
 * The seam below the link: one ordered, message-keeping byte pipe. `ws-socket.ts` puts a WebSocket behind it; tests put
 * a simulated wire behind it.
 *
 * A socket delivers each message whole and in order, or it closes; it may also fall silent (half-open), which the link
 * finds out by its own pings. `onMessage` and `onClose` are each called once, in the turn in which the socket is handed over.
 */
export interface SocketLike {
  /**
   * Never throws; bytes for a closed socket go nowhere. `sent`: called at most once, when the socket looks at these bytes no more
   * and the caller may use them again; a socket that keeps them does not call it.
   */
  send(data: Uint8Array, sent?: () => void): void;
  /** Orderly close. The other side gets what was sent before it. */
  close(code?: number, reason?: string): void;
  /** Drop it at once, without a farewell: for peers that do not answer any more. `close` is used where it is missing. */
  abort?(): void;
  onMessage(callback: (data: Uint8Array) => void): void;
  /** Called once, whoever closed. */
  onClose(callback: (code: number, reason: string) => void): void;
  /** Bytes handed to `send` that the operating system has not taken yet. */
  readonly bufferedBytes: number;
}

/** WebSocket close codes that the link uses (RFC 6455 section 7.4). */
export const CLOSE = { normal: 1000, goingAway: 1001, violation: 1002, refused: 1008, tryLater: 1013 } as const;
