import type { Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import { createChannel, type Channel, type Down } from './channel.ts';
import { Inbox } from './inbox.ts';
import type { LinkLimits } from './limits.ts';
import { messageSize } from './message-size.ts';
import { Outbox } from './outbox.ts';
import type { SocketLike } from './socket.ts';

/**
 * What a session is on either end: the two numberings, and one socket at a time. Sockets come (`attach`) and go (`down`); the
 * numbers stay, so nothing is lost, repeated or reordered between two ends that both keep their conversation.
 */
export interface Conversation<Out> {
  /** Throws `GridError` for what the link cannot carry: see `messageSize`. */
  send(message: Out): Admission;
  /** Number of the last message that was delivered here. */
  delivered(): number;
  /** Whether a peer that has delivered everything up to `seq` can go on with this conversation. */
  canResume(seq: number): boolean;
  /** The authenticated socket from now on, in place of an earlier one. Sends everything above `peerDelivered` again, in order. */
  attach(socket: SocketLike, generation: number, peerDelivered: number): Channel;
  /** Says goodbye over the current socket, if there is one. */
  close(reason: string): void;
  /** Both sides count from 1 again. Answers the messages that were not acknowledged. */
  restart(): readonly Out[];
}

export interface ConversationOptions<In> {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly decode: (raw: unknown) => In;
  /** Takes one message; from its return on the message counts as delivered. A throw ends the session as `crashed`. */
  readonly deliver: (message: In) => void;
  /** There is room again after `send` had answered 'full'. */
  readonly onRoom: () => void;
  /** The current socket ended, not by this side. */
  readonly onDown: (cause: Down) => void;
}

export function createConversation<In, Out>({ host, limits, decode, deliver, onRoom, onDown }: ConversationOptions<In>): Conversation<Out> {
  const outbox = new Outbox<Out>(limits);
  const inbox = new Inbox();
  let channel: Channel | undefined;
  let wasFull = false;

  function acknowledged(seq: number): void {
    const before = outbox.size;
    outbox.acknowledge(seq);
    if (!wasFull || outbox.size === before) return;
    wasFull = false;
    onRoom();
  }

  function arrived(on: Channel, first: number, messages: readonly unknown[]): void {
    for (let i = inbox.repeated(first, messages.length); i < messages.length; i++) {
      const message = decode(messages[i]);
      try {
        deliver(message);
      } catch (error) {
        return on.fail('crashed', error);
      }
      inbox.advance();
      // The handler may have ended the session: what follows is not delivered, and so not acknowledged.
      if (channel !== on) return;
    }
  }

  return {
    send(message) {
      if (!outbox.offer(message, messageSize(message, limits.messageBytes))) {
        wasFull = true;
        return 'full';
      }
      channel?.requestFlush();
      return 'accepted';
    },
    delivered: () => inbox.last,
    canResume: (seq) => outbox.canResume(seq),
    attach(socket, generation, peerDelivered) {
      channel?.abandon();
      outbox.rewind(peerDelivered);
      const next: Channel = createChannel({
        host,
        limits,
        socket,
        generation,
        port: {
          next: () => outbox.take(limits.frameBytes, limits.frameMessages),
          delivered: () => inbox.last,
          acknowledged,
          arrived: (first, messages) => arrived(next, first, messages),
          down(cause) {
            channel = undefined;
            onDown(cause);
          },
        },
      });
      channel = next;
      if (outbox.pending) next.requestFlush();
      return next;
    },
    close(reason) {
      channel?.close(reason);
      channel = undefined;
    },
    restart() {
      inbox.reset();
      wasFull = false;
      return outbox.drain();
    },
  };
}
