import type { Admission } from '#runtime/kernel/ref.ts';
import type { Lane } from '#runtime/link/lane.ts';
import type { SocketLike } from '#runtime/link/socket.ts';

import { cpuSince, envelope, type Message, monotonicMs } from './envelope.ts';

export const laneOf = (message: Message): Lane => ('sentMs' in message ? 'control' : 'data');

export const BODY_BYTES = 8 * 1024 * 1024 - 1024;
export const URGENT_EVERY_MS = 5;
/** How often a slow owner takes something. */
const SLOW_TICK_MS = 10;
const SAMPLE_EVERY_MS = 250;

/** One end of the link, as the measurements use it; the same code runs in both processes. */
export interface End {
  /** For the link: what arrives, and that there is room again. */
  readonly arrived: (message: Message) => void | Promise<void>;
  readonly hasRoom: () => void;
  /** Answers once that many envelopes are here: the CPU that it took, in microseconds. */
  receive(count: number): Promise<number>;
  /** Sends as many envelopes as fast as the link takes them; answers when all are sent. */
  pump(count: number): Promise<void>;
  /** Sends urgent messages for a while, with as many large bodies as the link takes meanwhile, or without. */
  urge(ms: number, withBodies: boolean): Promise<{ readonly bodies: number }>;
  /** How long each urgent message took, since the last call; and how many bodies came. */
  delays(): { readonly delaysMs: readonly number[]; readonly bodies: number };
  /** From now on so many envelopes a second are consumed; Infinity: all at once. */
  consumeAt(perSecond: number): void;
  /** Sends without end until it is told to stop. Answers what the process weighed meanwhile, in bytes, every quarter of a second. */
  flood(ms: number): Promise<readonly number[]>;
  /** What the process weighs meanwhile. */
  weigh(ms: number): Promise<readonly number[]>;
}

export function createEnd(send: (message: Message) => Admission): End {
  let waiting: (() => void)[] = [];
  let target = Infinity;
  let seen = 0;
  let reached = (): void => undefined;
  let delaysMs: number[] = [];
  let bodies = 0;
  let perTick = Infinity;
  const unconsumed: (() => void)[] = [];
  let ticks: NodeJS.Timeout | undefined;

  const room = (): Promise<boolean> => new Promise((resolve) => waiting.push(() => resolve(false)));

  function arrived(message: Message): void | Promise<void> {
    if ('sentMs' in message) return void delaysMs.push(monotonicMs() - message.sentMs);
    if ('bytes' in message) {
      bodies += 1;
      return;
    }
    seen += 1;
    if (seen === target) reached();
    if (perTick === Infinity) return;
    return new Promise((resolve) => unconsumed.push(resolve));
  }

  async function weigh(ms: number): Promise<number[]> {
    const weights: number[] = [];
    for (const end = performance.now() + ms; performance.now() < end;) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
      weights.push(process.memoryUsage.rss());
    }
    return weights;
  }

  return {
    arrived,
    hasRoom() {
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    async receive(count) {
      const start = process.cpuUsage();
      seen = 0;
      target = count;
      await new Promise<void>((resolve) => (reached = resolve));
      return cpuSince(start);
    },
    async pump(count) {
      for (let i = 0; i < count;) {
        if (send(envelope(i)) === 'accepted') i += 1;
        else await room();
      }
    },
    async urge(ms, withBodies) {
      let sent = 0;
      const urging = setInterval(() => send({ sentMs: monotonicMs() }), URGENT_EVERY_MS);
      const bytes = new Uint8Array(BODY_BYTES).fill(7);
      for (const end = performance.now() + ms; performance.now() < end;) {
        if (!withBodies) await new Promise((resolve) => setTimeout(resolve, SLOW_TICK_MS));
        else if (send({ bytes }) === 'accepted') sent += 1;
        else await room();
      }
      clearInterval(urging);
      return { bodies: sent };
    },
    delays() {
      const answer = { delaysMs, bodies };
      delaysMs = [];
      bodies = 0;
      return answer;
    },
    consumeAt(perSecond) {
      clearInterval(ticks);
      perTick = perSecond === Infinity ? Infinity : Math.max(1, Math.round((perSecond * SLOW_TICK_MS) / 1000));
      const consume = (): void => unconsumed.splice(0, perTick === Infinity ? unconsumed.length : perTick).forEach((done) => done());
      if (perTick === Infinity) consume();
      else ticks = setInterval(consume, SLOW_TICK_MS);
    },
    weigh,
    async flood(ms) {
      const weights = weigh(ms);
      const over = weights.then(() => true);
      for (let i = 0; ;) {
        if (send(envelope(i)) === 'accepted') i += 1;
        else if (await Promise.race([room(), over])) return weights;
      }
    },
  };
}

/** A socket that counts what goes over it. */
export function counted(socket: SocketLike, count: (bytes: number) => void): SocketLike {
  return {
    send(data, sent) {
      count(data.length);
      socket.send(data, sent);
    },
    close: (code, reason) => socket.close(code, reason),
    abort: () => socket.abort?.(),
    onMessage: (callback) => socket.onMessage(callback),
    onClose: (callback) => socket.onClose(callback),
    get bufferedBytes() {
      return socket.bufferedBytes;
    },
  };
}
