import { Worker } from 'node:worker_threads';

import { defineActor, type ActorDefinition, type Handlers, type MailboxOptions } from '#runtime/kernel/actor.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';

import { StandIn } from './stand-in.ts';
import type { Placement } from './wire.ts';

export interface ThreadOptions<Pr extends Protocol> {
  readonly host: Host;
  readonly protocol: Pr;
  /** Where the definition is exported from: `new URL('./digest.actor.ts', import.meta.url)`. */
  readonly module: URL;
  /** The name of the export: an `ActorDefinition` of the same protocol. */
  readonly name: string;
  /** Of messages that wait here, before the thread takes them over. */
  readonly mailbox?: MailboxOptions;
  /** How long the thread may take to end by itself before it is ended by force. Default 2,000; keep it below the spec's `shutdownMs`. */
  readonly graceMs?: number;
}

const DEFAULT_GRACE_MS = 2_000;

/**
 * Places an actor on a worker thread of its own, for work that would hold this one: proofs, digests, signatures by the thousand.
 *
 * The answer is a definition like any other: spawned by a child spec, told and asked by an ordinary ref, watched, linked and supervised.
 * On the thread the actor has a kernel of its own, with timers and children. A crash there, an uncaught error and the end of the thread
 * itself are crashes of this actor: its supervisor starts it again, on a new thread, after the backoff.
 *
 * Messages go over in batches and in order; payloads, answers and arguments are cloned, so a ref cannot be among them. At most 256 are on
 * their way or wait on the thread; more wait in the mailbox here, which survives a restart and answers `full` as usual. What the thread
 * had taken over is lost with it: asks among it end with a refusal, tells as if the crash had come a moment later.
 */
export function onThread<Pr extends Protocol, Args = void>(options: ThreadOptions<Pr>): ActorDefinition<Pr, Args> {
  const { host, protocol, module, name, mailbox, graceMs = DEFAULT_GRACE_MS } = options;
  return defineActor<Pr, Args>({
    protocol,
    ...(mailbox === undefined ? {} : { mailbox }),
    async start(context, args) {
      const placement: Placement = { module: module.href, name, args };
      const worker = new Worker(new URL('thread.ts', import.meta.url), { workerData: placement, name: `${protocol.name} ${name}` });
      const standIn = new StandIn(worker, { host, protocol, path: context.path, graceMs });
      context.onStop(() => standIn.end());
      context.pipe(standIn.fate, (end) => {
        if (!end.ok) throw end.error;
        context.stop();
      });
      await standIn.up;
      const handlers = protocol.kinds.map((kind, index) => {
        if (protocol.messages[kind]?.kind === 'tell') return [kind, (payload: unknown) => standIn.tell(index, payload)] as const;
        const ask = (payload: unknown): unknown => {
          const later = context.answerLater<unknown>((reply) => standIn.ask(index, payload, reply));
          return standIn.room()?.then(() => later) ?? later;
        };
        return [kind, ask] as const;
      });
      // One for each message of the protocol.
      return Object.fromEntries(handlers) as Handlers<Pr>;
    },
  });
}
