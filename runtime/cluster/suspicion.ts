import type { Clock } from '#runtime/kernel/host.ts';

import type { NodeLife } from './cluster-store.ts';

/**
 * When a silent node may be declared dead before its lease has run out. Safety does not depend on it (epochs do): a wrong
 * verdict costs one needless move.
 *
 * - Its address refuses connections: the process is gone. One witness is enough, because a frozen machine refuses nothing.
 * - It is silent: two witnesses have to say so within a few seconds, or one witness and the presence store. Alone against one
 *   silent peer nobody can tell whose cable was cut, and the lease decides.
 */
export interface Suspicions {
  /** A witness says that this life is silent. Answers whether it is dead now. */
  silent(life: NodeLife, witness: string): boolean;
  /** A witness heard of it again. */
  heard(life: NodeLife, witness: string): void;
}

export interface SuspicionsOptions {
  readonly clock: Clock;
  /** Whether the presence store misses the node; undefined when there is none. */
  readonly isAbsent?: ((node: string) => boolean) | undefined;
}

const WITNESSES = 2;
/** What a witness said is worth something for this long. */
const FRESH_MS = 5_000;

export function createSuspicions({ clock, isAbsent }: SuspicionsOptions): Suspicions {
  const said = new Map<string, Map<string, number>>();
  const keyOf = ({ id, incarnation }: NodeLife): string => `${incarnation} ${id}`;

  return {
    silent(life, witness) {
      const witnesses = said.get(keyOf(life)) ?? new Map<string, number>();
      said.set(keyOf(life), witnesses.set(witness, clock.now()));
      const fresh = [...witnesses.values()].filter((at) => clock.now() - at <= FRESH_MS).length;
      return fresh >= WITNESSES || isAbsent?.(life.id) === true;
    },
    heard(life, witness) {
      const witnesses = said.get(keyOf(life));
      witnesses?.delete(witness);
      if (witnesses?.size === 0) said.delete(keyOf(life));
    },
  };
}
