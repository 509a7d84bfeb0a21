import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';
import { ActorClosed } from '#runtime/kernel/errors.ts';
import { protocol, tell, type Protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import type { System } from '#runtime/kernel/system.ts';

import { partitionOfEntity } from './assignment.ts';
import { askByName, tellByName } from './call.ts';
import type { EntityKey, EntityStore } from './cluster-store.ts';
import type { EntityHost } from './entity-host.ts';
import type { EntityTimers } from './timers.ts';

/** What an entity's actor starts with. */
export interface EntityArgs {
  readonly key: EntityKey;
  /** Every write names it; a write that is refused means that another node has the entity. */
  readonly epoch: number;
  readonly store: EntityStore;
  /** Durable timers of this entity; they come as the protocol's ask `timerDue`. */
  readonly timers: EntityTimers;
}

export interface EntityKindOptions<P extends Protocol> {
  readonly system: System;
  readonly kind: string;
  readonly actor: ActorDefinition<P, EntityArgs>;
  readonly store: EntityStore;
  readonly timersOf: (key: EntityKey, epoch: number) => EntityTimers;
  /** Of the whole cluster. */
  readonly partitions: number;
  /** An entity that got no message for this long is put away; the next message wakes it again. */
  readonly idleMs: number;
}

interface Delivery {
  readonly id: string;
  readonly name: string;
  readonly payload: unknown;
  readonly ask?: { readonly timeoutMs: number; readonly resolve: (value: unknown) => void; readonly reject: (error: unknown) => void };
}

const EntitiesProtocol = protocol('entities', {
  deliver: tell<Delivery>(),
  activate: tell<ReadonlyMap<number, number>>(),
  deactivate: tell<{ partitions: readonly number[]; done: () => void }>(),
});

interface Live<P extends Protocol> {
  readonly ref: Ref<P>;
  readonly partition: number;
  usedAt: number;
  /** Messages that came while it is being put away. */
  leaving: Delivery[] | undefined;
}

/** Entities that are woken by their first message and put away when nobody needs them: one actor each, under one supervisor. */
export function hostEntities<P extends Protocol>(options: EntityKindOptions<P>): EntityHost {
  const { system, kind, actor, store, idleMs } = options;
  const entities = system.spawn({
    id: `entities-${kind}`,
    restart: 'permanent',
    actor: defineActor({
      protocol: EntitiesProtocol,
      supervise: { strategy: 'one-for-one', intensity: 1_000, periodMs: 10_000 },
      mailbox: { capacity: 262_144 },
      start(context) {
        const epochs = new Map<number, number>();
        const live = new Map<string, Live<P>>();

        context.every(Math.max(idleMs / 2, 1), () => {
          for (const [id, entity] of live) if (context.clock.now() - entity.usedAt >= idleMs) putAway(id, entity);
        });

        function wake(id: string): Live<P> | undefined {
          const partition = partitionOfEntity(id, options.partitions);
          const epoch = epochs.get(partition);
          if (epoch === undefined) return undefined;
          const key = { kind, id, partition };
          const args: EntityArgs = { key, epoch, store, timers: options.timersOf(key, epoch) };
          // The definition wants exactly these arguments; the conditional type of a spec cannot see it.
          const ref = context.spawn<P, EntityArgs>({ id, actor, restart: 'transient', args });
          const entity: Live<P> = { ref, partition, usedAt: 0, leaving: undefined };
          live.set(id, entity);
          context.watch(ref, () => {
            if (live.get(id) !== entity) return;
            live.delete(id);
            for (const delivery of entity.leaving ?? []) deliver(delivery);
          });
          return entity;
        }

        function putAway(id: string, entity: Live<P>): void {
          if (entity.leaving !== undefined) return;
          entity.leaving = [];
          void context.stopChild(id);
        }

        function deliver(delivery: Delivery): void {
          const { id, name, payload, ask } = delivery;
          const entity = live.get(id) ?? wake(id);
          if (entity === undefined) return ask?.reject(new ActorClosed(`${kind} ${id}`, name));
          entity.usedAt = context.clock.now();
          if (entity.leaving !== undefined) return void entity.leaving.push(delivery);
          if (ask === undefined) tellByName(entity.ref, actor.protocol, name, payload);
          else askByName(entity.ref, actor.protocol, name, payload, ask.timeoutMs).then(ask.resolve, ask.reject);
        }

        return {
          deliver,
          activate(more) {
            for (const [partition, epoch] of more) epochs.set(partition, epoch);
          },
          deactivate({ partitions, done }) {
            const ending = new Set(partitions);
            for (const partition of ending) epochs.delete(partition);
            const stops = [...live].filter(([, { partition }]) => ending.has(partition)).map(([id]) => context.stopChild(id));
            context.pipe(Promise.all(stops), done);
          },
        };
      },
    }),
  });

  return {
    async activate(epochs) {
      entities.activate(epochs);
    },
    async deactivate(partitions) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (entities.deactivate({ partitions, done: resolve }) !== 'accepted') resolve();
      await promise;
    },
    tell: (id, name, payload) => entities.deliver({ id, name, payload }),
    ask(id, name, payload, timeoutMs) {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const admission = entities.deliver({ id, name, payload, ask: { timeoutMs, resolve, reject } });
      if (admission !== 'accepted') reject(new ActorClosed(`${kind} ${id}`, name));
      return promise;
    },
  };
}
