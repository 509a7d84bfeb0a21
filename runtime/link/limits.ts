import { GridError } from '#runtime/errors.ts';

/** Every bound and interval of a link. Times are milliseconds, sizes bytes. Both ends should run with the same sizes. */
export interface LinkLimits {
  /** From the socket's start to the verified welcome. */
  readonly handshakeMs: number;
  /** Ping after hearing nothing for this long. */
  readonly pingAfterMs: number;
  /** Give the socket up after hearing nothing for this long. */
  readonly deadAfterMs: number;
  /** How long the server keeps a session without a socket. */
  readonly keepSessionMs: number;
  /** Acknowledge at the latest after this long, this many messages, or this many bytes; earlier when something is sent anyway. */
  readonly ackAfterMs: number;
  readonly ackAfterMessages: number;
  readonly ackAfterBytes: number;
  /** The window: what may be unacknowledged in one direction. A single larger message is taken when nothing else waits. */
  readonly windowBytes: number;
  readonly windowMessages: number;
  /** The control lane's own window, so that a full data lane leaves room for what must not wait. */
  readonly reserveBytes: number;
  /** Most bytes of the data lane on their way: what a control message can find before it in the buffers between the two ends. */
  readonly flightBytes: number;
  /** Most bytes in the body of one frame; larger messages travel in parts, so that a slow line still shows life. */
  readonly frameBytes: number;
  readonly frameMessages: number;
  /** Largest message. */
  readonly messageBytes: number;
  /** Largest handshake frame: what a stranger may make us read. */
  readonly helloBytes: number;
  /** Handshakes that a server runs at once. */
  readonly handshakes: number;
  /** The client's pause between attempts doubles from the one to the other, and varies by half both ways. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A connection that held this long puts the pause back to its minimum. */
  readonly stableAfterMs: number;
  /** The client believes the n-th `unauthenticated` in a row. */
  readonly refusalsUntilFinal: number;
  /** How long `close()` waits for the sockets before it drops them. */
  readonly farewellMs: number;
}

export const DEFAULT_LIMITS: LinkLimits = {
  handshakeMs: 5_000,
  pingAfterMs: 1_000,
  deadAfterMs: 3_000,
  keepSessionMs: 30_000,
  ackAfterMs: 500,
  ackAfterMessages: 64,
  ackAfterBytes: 64 * 1024,
  windowBytes: 1024 * 1024,
  windowMessages: 8_192,
  reserveBytes: 256 * 1024,
  flightBytes: 256 * 1024,
  frameBytes: 64 * 1024,
  frameMessages: 256,
  messageBytes: 8 * 1024 * 1024,
  helloBytes: 2 * 1024 * 1024,
  handshakes: 512,
  backoffMinMs: 50,
  backoffMaxMs: 5_000,
  stableAfterMs: 1_000,
  refusalsUntilFinal: 5,
  farewellMs: 1_000,
};

/** A part of a message carries at least this much, so that parts cannot be used to pile up tiny buffers. */
export const MIN_PART_BYTES = 1024;

/** The defaults with some changed. Throws `GridError('BAD_CONFIGURATION')` with the field's name for a value that makes no sense. */
export function linkLimits(changes: Partial<LinkLimits> = {}): LinkLimits {
  const limits = { ...DEFAULT_LIMITS, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    if (!(Number.isFinite(value) && value > 0)) throw bad(name, `${String(value)} is not a positive number`);
  }
  if (limits.deadAfterMs <= limits.pingAfterMs)
    throw bad('deadAfterMs', 'it must be longer than pingAfterMs, or no ping could be answered');
  if (limits.frameBytes < MIN_PART_BYTES) throw bad('frameBytes', `it must be at least ${MIN_PART_BYTES}`);
  if (limits.flightBytes < limits.frameBytes) throw bad('flightBytes', 'it must hold at least one frame');
  if (limits.backoffMaxMs < limits.backoffMinMs) throw bad('backoffMaxMs', 'it must not be shorter than backoffMinMs');
  return limits;
}

/** Largest WebSocket message that a peer sends: for the `maxPayload` of the WebSocket library. */
export function largestFrame(limits: LinkLimits = DEFAULT_LIMITS): number {
  return Math.max(limits.helloBytes, limits.frameBytes) + 128;
}

function bad(name: string, why: string): GridError {
  return new GridError('BAD_CONFIGURATION', `The link's limit ${name} is wrong: ${why}.`, { path: `limits.${name}` });
}
