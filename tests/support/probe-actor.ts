import { defineActor, type ActorDefinition, type Context, type SupervisionOptions } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { ask, protocol, tell, type Protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** What an actor may do with its context. */
export type Act = (context: Omit<Context<Protocol>, 'self'>) => void | Promise<void>;

/** Messages that make an actor do what a test needs to see. */
export const Probe = protocol('probe', {
  /** Writes itself into the log. */
  note: tell<string>(),
  /** Ends by itself, normally. */
  stop: tell(),
  /** Throws. */
  crash: tell<string>(),
  /** Waits for a promise, then writes into the log. */
  wait: tell<Promise<string>>(),
  echo: ask<string, string>(),
  waitFor: ask<Promise<string>, string>(),
  refuse: ask<string, string>(),
  crashAnswering: ask<string, string>(),
  /** Runs a function with the actor's context. */
  act: tell<Act>(),
});

export type ProbeRef = Ref<typeof Probe>;

export interface ProbeOptions {
  /** Where the actor writes what happens to it: `+id` start, `-id` end, `id:text` a note. */
  readonly log: string[];
  readonly supervise?: SupervisionOptions;
  /** Runs in `start`, before it is logged. */
  readonly onStart?: Act;
}

export function probeActor({ log, supervise, onStart }: ProbeOptions): ActorDefinition<typeof Probe, void> {
  return defineActor<typeof Probe>({
    protocol: Probe,
    ...(supervise === undefined ? {} : { supervise }),
    start(context) {
      const id = context.path.slice(context.path.lastIndexOf('/') + 1);
      const handlers = {
        note: (text: string) => void log.push(`${id}:${text}`),
        stop: () => {
          context.stop();
        },
        crash: (reason: string) => {
          throw new Error(reason);
        },
        wait: async (work: Promise<string>) => void log.push(`${id}:${await work}`),
        echo: (text: string) => text,
        waitFor: (work: Promise<string>) => work,
        refuse: (reason: string) => {
          throw new Refusal('TEST_REFUSAL', reason);
        },
        crashAnswering: (reason: string) => {
          throw new Error(reason);
        },
        act: (act: Act) => act(context),
      };
      const started = () => {
        log.push(`+${id}`);
        context.onStop(() => void log.push(`-${id}`));
        return handlers;
      };
      const starting = onStart?.(context);
      return starting === undefined ? started() : starting.then(started);
    },
  });
}
