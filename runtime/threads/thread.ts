import { parentPort, workerData, type MessagePort } from 'node:worker_threads';

import { realHost } from '#runtime/host.ts';
import { defineActor, type ActorDefinition, type Termination } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { protocol, type Protocol } from '#runtime/kernel/protocol.ts';
import type { ActorRef, AskOptions } from '#runtime/kernel/ref.ts';
import { createSystem } from '#runtime/kernel/system.ts';

import { type Answer, type FromThread, type Letter, type Placement, type PlainRefusal, type ToThread, WINDOW } from './wire.ts';

/**
 * The far end: the main module of a thread that holds one actor. It hands letters to the actor's mailbox in the order in which they
 * come, and sends news back once for each round of the event loop in which there are any. When the actor has ended, so does the thread.
 */

const DEFAULT_CAPACITY = 1_024;

type AnyDefinition = ActorDefinition<Protocol, unknown>;
type Stubs = Readonly<Record<string, (payload: unknown, options?: AskOptions) => unknown>>;

async function load({ module, name }: Placement): Promise<AnyDefinition> {
  const loaded = (await import(module)) as Readonly<Record<string, unknown>>;
  const definition = loaded[name];
  if (typeof definition !== 'object' || definition === null) throw new TypeError(`${module} exports no actor named '${name}'`);
  return definition as AnyDefinition;
}

/** Only what can be cloned reaches the other side. */
function sendable(error: unknown): unknown {
  try {
    return structuredClone(error);
  } catch {
    return new Error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

function plain(error: unknown): PlainRefusal {
  if (!Refusal.is(error)) return { code: 'ACTOR_CRASHED', message: error instanceof Error ? error.message : String(error) };
  const { code, message, path, fix } = error;
  return { code, message, ...(path === undefined ? {} : { path }), ...(fix === undefined ? {} : { fix }) };
}

async function live(port: MessagePort, placement: Placement): Promise<void> {
  const host = realHost();
  const system = createSystem({ name: 'thread', host });
  const definition = await load(placement);
  const { kinds } = definition.protocol;
  const post = (message: FromThread): void => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    port.postMessage(message);
  };
  let received = 0;
  let answers: Answer[] = [];
  let due = false;
  let ref: ActorRef | null = null;

  const tellNews = (): void => {
    due = false;
    const waiting = ref === null ? 0 : system.queued(ref);
    const batch = answers;
    answers = [];
    try {
      post({ type: 'news', received, waiting, answers: batch });
    } catch {
      for (const answer of batch) tellOne(answer, waiting);
    }
    if (waiting > 0) newsSoon();
  };
  /** After one of a batch could not be cloned. */
  const tellOne = (answer: Answer, waiting: number): void => {
    try {
      post({ type: 'news', received, waiting, answers: [answer] });
    } catch (error) {
      const refused: Answer = { question: answer.question, ok: false, refusal: plain(error) };
      post({ type: 'news', received, waiting, answers: [refused] });
    }
  };
  const newsSoon = (): void => {
    if (due) return;
    due = true;
    host.scheduler.yieldThen(tellNews);
  };
  const answer = (one: Answer): void => {
    answers.push(one);
    newsSoon();
  };

  const deliver = (stubs: Stubs, [kind, question, payload, timeoutMs]: Letter): void => {
    const stub = stubs[kinds[kind] ?? ''];
    if (stub === undefined) throw new TypeError(`${placement.name} of ${placement.module} has another protocol than its stand-in`);
    if (question === 0) {
      stub.call(stubs, payload);
      return;
    }
    (stub.call(stubs, payload, { timeoutMs }) as Promise<unknown>).then(
      (value) => answer({ question, ok: true, value }),
      (error: unknown) => answer({ question, ok: false, refusal: plain(error) }),
    );
  };
  const end = async (): Promise<void> => {
    await system.shutdown();
    // What the end had to say goes first.
    host.scheduler.yieldThen(() => {
      tellNews();
      port.close();
      process.exit(0);
    });
  };
  const down = ({ reason, error }: Termination): void => {
    host.scheduler.yieldThen(() => {
      tellNews();
      post({
        type: 'down',
        reason: reason === 'crashed' ? 'crashed' : 'stopped',
        ...(error === undefined ? {} : { error: sendable(error) }),
      });
    });
  };

  const placed = defineActor<Protocol, unknown>({
    ...definition,
    async start(context, args) {
      const handlers = await definition.start(context, args);
      post({ type: 'up' });
      return handlers;
    },
  });
  const keeper = defineActor({
    protocol: protocol('thread', {}),
    start(context) {
      const capacity = WINDOW + (definition.mailbox?.capacity ?? DEFAULT_CAPACITY);
      const actor = context.spawn<Protocol, unknown>({
        id: 'actor',
        restart: 'temporary',
        mailbox: { capacity },
        actor: placed,
        args: placement.args,
      });
      ref = actor;
      context.watch(actor, down);
      port.on('message', (message: ToThread) => {
        if (message.type === 'stop') void end();
        else {
          for (const letter of message.letters) deliver(actor as unknown as Stubs, letter);
          received += message.letters.length;
          newsSoon();
        }
      });
      return {};
    },
  });
  system.spawn({ id: 'keeper', restart: 'temporary', actor: keeper });
}

if (parentPort !== null) await live(parentPort, workerData as Placement);
