import { createCluster, type Cluster, type ClusterTimes } from '#runtime/cluster/cluster.ts';
import { hostEntities } from '#runtime/cluster/entities.ts';
import type { EntityHost } from '#runtime/cluster/entity-host.ts';
import { createMemoryCluster, type MemoryCluster } from '#runtime/cluster/memory/memory-cluster.ts';
import type { EntityDeadLetter } from '#runtime/cluster/router.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { runTimers, type TimerRunner } from '#runtime/cluster/timers.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import type { Log } from '#runtime/observe/log.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';

import { CounterProtocol, counterActor, ReportProtocol } from './counter-entity.ts';
import { seededEntropy } from './link-pair.ts';
import { createWire, type Wire } from './link-wire.ts';

export const WORLD_PARTITIONS = 32;

const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silentLog };

/** One simulated process. A dead one runs nothing any more; a frozen one runs what it missed when it thaws. */
export interface WorldNode {
  readonly id: string;
  readonly system: System;
  readonly cluster: Cluster;
  readonly deadLetters: EntityDeadLetter[];
  /** What tells its counters handled, in order. */
  readonly notes: { id: string; sender: string; n: number; node: string }[];
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): void;
  freeze(): void;
  thaw(): void;
  readonly state: 'alive' | 'frozen' | 'dead';
}

export interface World {
  readonly database: MemoryCluster;
  readonly nodes: WorldNode[];
  /** Writes that the store took or refused. */
  readonly writes: { readonly node: string; readonly id: string; readonly epoch: number; readonly taken: boolean }[];
  add(id: string): WorldNode;
  /** Cuts what is between two nodes, for good or for as long as `mend` is not called. */
  part(a: string, b: string): void;
  mend(): void;
  end(): Promise<void>;
}

/** A cluster of counters in virtual time: real nodes, one store in memory, simulated wires. */
export function clusterWorld(virtual: VirtualHost, times: Partial<ClusterTimes> = {}): World {
  // Whole milliseconds, as those of real timers: sums of fractions come out a hair too early, again and again.
  const host: Host = {
    ...virtual,
    scheduler: { ...virtual.scheduler, after: (ms, run) => virtual.scheduler.after(Math.ceil(ms), run) },
  };
  const database = createMemoryCluster(host.clock, WORLD_PARTITIONS);
  const nodes: WorldNode[] = [];
  const writes: World['writes'] = [];
  const wires: { readonly wire: Wire; readonly ends: readonly [string, string] }[] = [];
  const parted = new Set<string>();
  let seeds = 0;
  const pair = (a: string, b: string): string => [a, b].sort().join(' ');

  function add(id: string): WorldNode {
    let state: WorldNode['state'] = 'alive';
    let missed: (() => void)[] = [];
    /** Runs it if the process can; when it thaws if it is frozen. */
    function live<A extends readonly unknown[]>(run: (...args: A) => void): (...args: A) => void {
      return (...args) => {
        if (state === 'alive') run(...args);
        else if (state === 'frozen') missed.push(() => run(...args));
      };
    }
    const mortal: Host = {
      clock: host.clock,
      random: () => host.random(),
      scheduler: {
        microtask: (run) => host.scheduler.microtask(live(run)),
        yieldThen: (run) => host.scheduler.yieldThen(live(run)),
        after: (ms, run) => host.scheduler.after(ms, live(run)),
      },
    };
    /** The store as this process sees it: answers reach only who runs. */
    function reach<T extends object>(store: T): T {
      return new Proxy(store, {
        get(target, name) {
          const verb = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
          return (...args: unknown[]) =>
            new Promise((resolve, reject) => {
              const call = live(() => {
                // The way there and back takes time, and in between anything may happen.
                mortal.scheduler.after(
                  host.random() * 3,
                  () =>
                    void verb(...args).then(
                      (value) => void mortal.scheduler.after(host.random() * 3, () => resolve(value)),
                      (error: unknown) => void mortal.scheduler.after(host.random() * 3, () => reject(error)),
                    ),
                );
              });
              call();
            });
        },
      });
    }
    const seen = { ...database.entities };
    seen.write = async (key, expected, bytes) => {
      const taken = await database.entities.write(key, expected, bytes);
      writes.push({ node: id, id: key.id, epoch: expected.epoch, taken });
      return taken;
    };
    const slices = sliceHost(mortal);
    const system = createSystem({ name: id, host: slices.host });
    const deadLetters: EntityDeadLetter[] = [];
    const notes: WorldNode['notes'] = [];
    const hosts = new Map<string, EntityHost>();
    const cluster = createCluster({
      host: mortal,
      slices,
      system,
      store: reach(database.store),
      node: { id, address: id, host: 'world', weight: 1 },
      key: generateKeyPair(seededEntropy((seeds += 1))),
      partitions: WORLD_PARTITIONS,
      hosts,
      protocols: [CounterProtocol, ReportProtocol],
      log: silentLog,
      onDeadLetter: (letter) => deadLetters.push(letter),
      times,
      dial(address, onRefused) {
        const other = nodes.find((one) => one.id === address);
        const wire = createWire({ host, random: () => host.random(), delayMs: [0.1, 2] });
        wires.push({ wire, ends: [id, address] });
        if (parted.has(pair(id, address))) wire.freeze('both');
        else if (other === undefined || other.state === 'dead') {
          mortal.scheduler.after(1, () => {
            onRefused();
            wire.cut([0, 0]);
          });
        } else if (other.state === 'frozen') wire.freeze('server');
        else other.cluster.accept(wire.server);
        return wire.client;
      },
    });
    const timers: TimerRunner = runTimers({
      host: mortal,
      store: reach(database.timers),
      hosts,
      owned: () => (cluster.isHeld ? cluster.owned : new Map()),
      onFailure: () => undefined,
      pollMs: 100,
    });
    hosts.set(
      'counter',
      hostEntities({
        system,
        kind: 'counter',
        actor: counterActor((counter, note) => notes.push({ id: counter, node: id, ...note })),
        store: reach(seen),
        timersOf: (key, epoch) => timers.of(key, epoch),
        partitions: WORLD_PARTITIONS,
        idleMs: 5_000,
      }),
    );
    const node: WorldNode = {
      id,
      system,
      cluster,
      deadLetters,
      notes,
      start: () => cluster.start(),
      async stop() {
        timers.stop();
        await cluster.stop();
        await system.shutdown();
        state = 'dead';
      },
      kill() {
        state = 'dead';
        missed = [];
        for (const { wire, ends } of wires) if (ends.includes(id)) wire.cut([0, 0]);
      },
      freeze() {
        state = 'frozen';
        for (const { wire, ends } of wires) if (ends.includes(id)) wire.freeze(ends[0] === id ? 'client' : 'server');
      },
      thaw() {
        state = 'alive';
        const late = missed;
        missed = [];
        for (const run of late) run();
      },
      get state() {
        return state;
      },
    };
    nodes.push(node);
    return node;
  }

  return {
    database,
    nodes,
    writes,
    add,
    part(a, b) {
      parted.add(pair(a, b));
      for (const { wire, ends } of wires) if (pair(...ends) === pair(a, b)) wire.freeze('both');
    },
    mend: () => parted.clear(),
    async end() {
      for (const node of nodes) if (node.state === 'frozen') node.kill();
      const stops = nodes.filter(({ state }) => state === 'alive').map((node) => node.stop());
      for (let step = 0; step < 100; step++) await virtual.advance(500);
      await Promise.all(stops);
    },
  };
}
