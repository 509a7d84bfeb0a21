import type { Fiber, Queue as EffectQueue } from 'effect';
import type { AnyActorRef } from 'xstate';

import type { Runtime } from './bare.mjs';

/** The libraries for Node that a team would take otherwise, each in the quickest way that it has. */
export type PeerName = 'nact' | 'xstate' | 'effect';

type Act = (message: number) => void;

async function nact(): Promise<Runtime<object>> {
  const { default: library } = await import('nact');
  const system = library.start();
  return {
    spawn(make) {
      let act: Act = () => undefined;
      const ref = library.spawn(system, (_state: undefined, message: number) => {
        act(message);
        return undefined;
      });
      act = make(ref);
      return ref;
    },
    send: (ref, message) => {
      library.dispatch(ref, message);
    },
    stop: (ref) => {
      library.stop(ref);
    },
  };
}

async function xstate(): Promise<Runtime<AnyActorRef>> {
  const { createActor, fromTransition } = await import('xstate');
  return {
    spawn(make) {
      let act: Act = () => undefined;
      const actor = createActor(
        fromTransition((state: number, event: { readonly type: 'm'; readonly message: number }) => {
          act(event.message);
          return state;
        }, 0),
      );
      act = make(actor);
      actor.start();
      return actor;
    },
    send: (actor, message) => {
      actor.send({ type: 'm', message });
    },
    stop: (actor: AnyActorRef & { stop?: () => void }) => {
      actor.stop?.();
    },
  };
}

interface EffectActor {
  readonly queue: EffectQueue.Queue<number>;
  fiber: Fiber.Fiber<never> | null;
}

async function effect(): Promise<Runtime<EffectActor>> {
  const { Effect, Queue } = await import('effect');
  return {
    spawn(make) {
      const queue = Effect.runSync(Queue.unbounded<number>());
      const actor: EffectActor = { queue, fiber: null };
      const act = make(actor);
      actor.fiber = Effect.runFork(
        Effect.forever(
          Effect.map(Queue.take(queue), (message) => {
            act(message);
          }),
        ),
      );
      return actor;
    },
    send: ({ queue }, message) => {
      Queue.offerUnsafe(queue, message);
    },
    stop: ({ fiber }) => {
      fiber?.interruptUnsafe();
    },
  };
}

export const PEERS: Readonly<Record<PeerName, () => Promise<Runtime<never>>>> = { nact, xstate, effect } as never;
