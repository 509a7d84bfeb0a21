import type { LinkClient } from '#runtime/link/client.ts';
import type { LinkLimits } from '#runtime/link/limits.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import type { SocketLike } from '#runtime/link/socket.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';
import type { Note } from '#tests/support/link-pair.ts';

/** One frame of a recorded conversation. */
export interface Recorded {
  /** Which connection: the conversation is cut once. */
  readonly wire: number;
  readonly from: 'client' | 'server';
  /** Virtual time at which it was sent; it arrives a millisecond later. */
  readonly at: number;
  readonly base64: string;
}

/** Small frames, so that a large message is a small file. */
export const GOLDEN_LIMITS: Partial<LinkLimits> = { frameBytes: 2048, flightBytes: 4096 };
/** When the first connection is cut, at both ends at once. */
const CUT_AT_MS = 3_440;

/** The ends that are alive; the frames of the other one come from the recording. */
export interface GoldenEnds {
  readonly host: VirtualHost;
  readonly client?: LinkClient<Note>;
  readonly session?: () => LinkSession<Note, Note>;
  readonly cut: () => void;
}

/** What both ends did when the conversation was recorded: small messages, large ones, silence, a cut, a resume, a farewell. */
export async function playGolden({ host, client, session, cut }: GoldenEnds): Promise<void> {
  const say = (n: number, bytes?: number): void => {
    const note = (from: number): Note => ({ n: from + n, ...(bytes === undefined ? {} : { bytes: new Uint8Array(bytes).fill(n) }) });
    client?.send(note(0));
    session?.().send(note(100));
  };
  const start = host.clock.now();
  await host.advance(20);
  for (const n of [1, 2, 3]) say(n);
  await host.advance(20);
  say(4, 5_000);
  await host.advance(700);
  say(5);
  await host.advance(CUT_AT_MS - (host.clock.now() - start));
  cut();
  await host.advance(5);
  say(6);
  say(7, 3_000);
  await host.advance(2_000);
  const closed = client?.close();
  await host.advance(2_000);
  await closed;
}

/** Stands for the end that is not there: says what it said, when it said it. */
export function replay(
  host: VirtualHost,
  frames: readonly Recorded[],
  absent: 'client' | 'server',
): { connect: () => SocketLike; heard: Recorded[]; cut: () => void } {
  const heard: Recorded[] = [];
  let wires = 0;
  let close = (): void => undefined;
  return {
    heard,
    cut: () => close(),
    connect() {
      const wire = wires++;
      let onMessage = (_data: Uint8Array): void => undefined;
      let onClose = (_code: number, _reason: string): void => undefined;
      let open = true;
      close = () => {
        if (!open) return;
        open = false;
        onClose(1006, '');
      };
      for (const frame of frames) {
        if (frame.wire !== wire || frame.from !== absent) continue;
        const arrive = (): void => void (open && onMessage(Buffer.from(frame.base64, 'base64')));
        // In two steps, as on the recorded wire: among timers of one moment the one that was set later comes later.
        host.scheduler.after(frame.at - host.clock.now(), () => host.scheduler.after(1, arrive));
      }
      return {
        send(data) {
          if (!open) return;
          const from = absent === 'client' ? 'server' : 'client';
          heard.push({ wire, from, at: host.clock.now(), base64: Buffer.from(data).toString('base64') });
        },
        close: () => void host.scheduler.after(1, close),
        abort: () => void host.scheduler.after(0, close),
        onMessage: (callback) => void (onMessage = callback),
        onClose: (callback) => void (onClose = callback),
        bufferedBytes: 0,
      };
    },
  };
}
