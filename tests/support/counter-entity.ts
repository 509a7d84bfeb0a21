import type { EntityArgs } from '#runtime/cluster/entities.ts';
import type { TimerDue } from '#runtime/cluster/timers.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** An entity that counts, durably: each answer was written before it was given. */
export const CounterProtocol = protocol('counter', {
  /** Numbers of one sender rise; a number that is not above the last is not counted again. */
  add: ask<{ sender: string; n: number }, Counted>(),
  peek: ask<void, Counted>(),
  note: tell<{ sender: string; n: number }>(),
  read: ask<void, CounterState>(),
  /** Sets a durable timer that counts as sender `timer`. */
  remind: ask<{ inMs: number }, number | null>(),
  timerDue: ask<TimerDue>(),
  /** Tells the address of the actor that asked for it how far it is. */
  report: tell<{ to: Ref<typeof ReportProtocol> }>(),
  self: ask<void, CounterRef>(),
});

export interface CounterRef extends Ref<typeof CounterProtocol> {}

export const ReportProtocol = protocol('report', { counted: tell<{ id: string; count: number }>() });

export interface Counted {
  readonly count: number;
  readonly epoch: number;
}

export interface CounterState {
  readonly count: number;
  /** The last number of each sender. */
  readonly last: Record<string, number>;
}

export function readCounter(state: Uint8Array | null): CounterState {
  return state === null ? { count: 0, last: {} } : (JSON.parse(new TextDecoder().decode(state)) as CounterState);
}

/** `onNote` sees tells in the order in which they are handled. */
export function counterActor(onNote: (id: string, note: { sender: string; n: number }) => void = () => undefined) {
  return defineActor({
    protocol: CounterProtocol,
    async start(context, { key, epoch, store, timers }: EntityArgs) {
      const claimed = await store.claim(key, epoch);
      let version = claimed?.version ?? 0;
      let state = readCounter(claimed?.state ?? null);
      if (claimed === null) context.stop();

      async function add({ sender, n }: { sender: string; n: number }): Promise<Counted> {
        if ((state.last[sender] ?? 0) < n) {
          const next: CounterState = { count: state.count + 1, last: { ...state.last, [sender]: n } };
          if (!(await store.write(key, { epoch, version }, new TextEncoder().encode(JSON.stringify(next))))) {
            context.stop();
            throw new Refusal('STALE', `epoch ${epoch} of ${key.id} is over`);
          }
          version += 1;
          state = next;
        }
        return { count: state.count, epoch };
      }

      return {
        add,
        peek: () => ({ count: state.count, epoch }),
        note: (note) => onNote(key.id, note),
        read: () => state,
        remind: ({ inMs }) => timers.set('reminder', inMs, new Uint8Array()),
        async timerDue({ version: fired }) {
          await add({ sender: 'timer', n: fired });
        },
        report({ to }) {
          to.counted({ id: key.id, count: state.count });
        },
        self: () => context.self,
      };
    },
  });
}
