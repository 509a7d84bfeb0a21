import { createTrace, type Trace } from '#runtime/simulation/trace.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { clusterWorld as raise, WORLD_PARTITIONS, type World as Cluster } from '#tests/support/cluster-world.ts';
import type { Counted, CounterState } from '#tests/support/counter-entity.ts';

import { Violations, type World } from './world.ts';

const COUNTERS = Array.from({ length: 8 }, (_, n) => `counter-${n}`);
const LOOK_MS = 100;
/** When all faults are over, every partition has one owner within this, and every counter answers. */
const PATIENCE_MS = 30_000;

/** What must hold in a cluster at every moment, seen from outside. */
class ClusterPromises {
  readonly #violations: Violations;
  readonly #trace: Trace;
  readonly #world: Cluster;
  /** Who ever owned a partition, by `partition epoch`. */
  readonly #owners = new Map<string, string>();
  readonly #highest = new Map<string, number>();
  /** Numbers that were answered as counted, by counter and sender: the highest and how many. */
  readonly #answered = new Map<string, { highest: number; count: number }>();
  #writesSeen = 0;
  readonly #notesSeen = new Map<string, number>();
  readonly #lastNote = new Map<string, number>();

  constructor(violations: Violations, trace: Trace, world: Cluster) {
    this.#violations = violations;
    this.#trace = trace;
    this.#world = world;
  }

  answered(counter: string, sender: string, n: number): void {
    const key = `${counter} ${sender}`;
    const before = this.#answered.get(key) ?? { highest: 0, count: 0 };
    this.#answered.set(key, { highest: Math.max(before.highest, n), count: before.count + 1 });
  }

  look(): void {
    for (const { id, cluster } of this.#world.nodes) {
      for (const [partition, epoch] of cluster.owned) {
        const key = `${partition} ${epoch}`;
        const before = this.#owners.get(key);
        if (before === undefined) {
          this.#owners.set(key, id);
          this.#trace.note(`${id} has ${partition}`);
        } else if (before !== id) this.#violations.add(`epoch ${epoch} of partition ${partition} is ${before}'s and ${id}'s`);
      }
    }
    const { writes } = this.#world;
    for (; this.#writesSeen < writes.length; this.#writesSeen++) {
      const write = writes[this.#writesSeen];
      if (write === undefined) break;
      const { id, node, epoch, taken } = write;
      this.#trace.note(`${node} writes ${id}${taken ? '' : ', refused'}`);
      if (!taken) continue;
      const highest = this.#highest.get(id) ?? 0;
      if (epoch < highest) this.#violations.add(`a write of ${node} on ${id} was taken with epoch ${epoch} after ${highest}`);
      this.#highest.set(id, Math.max(epoch, highest));
    }
    for (const { id, notes } of this.#world.nodes) {
      for (let at = this.#notesSeen.get(id) ?? 0; at < notes.length; at++) {
        const note = notes[at];
        if (note === undefined) break;
        const key = `${id} ${note.id} ${note.sender}`;
        const last = this.#lastNote.get(key) ?? 0;
        if (note.n <= last) this.#violations.add(`${note.id} on ${id} heard ${note.n} of ${note.sender} after ${last}`);
        this.#lastNote.set(key, note.n);
      }
      this.#notesSeen.set(id, notes.length);
    }
  }

  /** Everybody who runs accounts for every message. */
  balanced(): void {
    for (const { id, cluster, system, state } of this.#world.nodes) {
      if (state !== 'alive') continue;
      const { sent, received, delivered, forwarded, returned, deadLettered, waiting } = cluster.counts();
      if (delivered + forwarded + returned + deadLettered + waiting !== sent + received)
        this.#violations.add(`${id} has not accounted for every message to entities`);
      const actors = system.accounting();
      if (actors.sent !== actors.handled + actors.deadLettered + actors.queued)
        this.#violations.add(`${id} has not accounted for every message to actors`);
    }
  }

  shared(): string | null {
    const owners = new Map<number, string>();
    for (const { id, cluster, state } of this.#world.nodes) {
      if (state !== 'alive') continue;
      for (const partition of cluster.owned.keys()) {
        if (owners.has(partition)) return `partition ${partition} is owned by ${owners.get(partition) ?? ''} and ${id}`;
        owners.set(partition, id);
      }
    }
    return owners.size === WORLD_PARTITIONS ? null : `${WORLD_PARTITIONS - owners.size} partitions have no owner`;
  }

  /** What has been answered as counted until now: a question that is asked from now on must find it in the counter. */
  due(counter: string): ReadonlyMap<string, number> {
    const due = new Map<string, number>();
    for (const [key, { highest }] of this.#answered) {
      const [id, sender = ''] = key.split(' ');
      if (id === counter) due.set(sender, highest);
    }
    return due;
  }

  kept(counter: string, { last }: CounterState, due: ReadonlyMap<string, number>): void {
    for (const [sender, highest] of due) {
      if ((last[sender] ?? 0) < highest)
        this.#violations.add(`${counter} answered ${sender} that it counted ${highest}, and knows ${last[sender] ?? 0}`);
    }
  }
}

/** Coordinators that come, die, freeze and are cut off from each other, with entities that move between them under load. */
export const clusterWorld: World = async (seed, { keep = 0 } = {}) => {
  const host = virtualHost(seed);
  const chance = seededRandom(seed ^ 0xc1a5);
  const violations = new Violations();
  const trace = createTrace(() => host.clock.now(), keep);
  const world = raise(host);
  const promises = new ClusterPromises(violations, trace, world);
  const start = host.clock.now();
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms && !violations.any; passed += LOOK_MS) {
      await host.advance(LOOK_MS);
      promises.look();
    }
  };
  for (const id of ['a', 'b', 'c']) void world.add(id).start();
  await pass(3_000);

  let n = 0;
  for (let round = 1 + Math.floor(chance() * 5); round > 0 && !violations.any; round--) {
    disturb(world, chance, trace, round);
    n += 1;
    for (const node of world.nodes) if (node.state === 'alive') count(node, n, promises);
    await pass(500 + chance() * 4_000);
    promises.balanced();
    if (chance() < 0.5) for (const node of world.nodes) if (node.state === 'frozen') node.thaw();
  }
  trace.note('all is well');
  world.mend();
  for (const node of world.nodes) if (node.state === 'frozen') node.thaw();
  const healed = host.clock.now();
  do await pass(500);
  while (!violations.any && promises.shared() !== null && host.clock.now() - healed < PATIENCE_MS);
  if (!violations.any) {
    const unshared = promises.shared();
    if (unshared !== null) violations.add(unshared);
    await readAll(world, host, promises, violations);
    promises.balanced();
  }
  for (const node of world.nodes) node.kill();
  await host.settle();
  return {
    hash: trace.hash,
    steps: trace.length,
    virtualMs: host.clock.now() - start,
    violations: violations.list,
    recent: trace.recent,
  };
};

function disturb(world: Cluster, chance: () => number, trace: Trace, round: number): void {
  const alive = world.nodes.filter(({ state }) => state === 'alive');
  const others = alive.slice(1);
  const victim = others[Math.floor(chance() * others.length)];
  const dice = chance();
  if (dice < 0.2 && alive.length > 2) {
    trace.note(`${victim?.id ?? ''} dies`);
    victim?.kill();
  } else if (dice < 0.5) {
    trace.note(`${victim?.id ?? ''} freezes`);
    victim?.freeze();
  } else if (dice < 0.65 && victim !== undefined) {
    trace.note(`${victim.id} is cut off from a`);
    world.part('a', victim.id);
  } else if (dice < 0.8) {
    trace.note(`n${round} comes`);
    void world.add(`n${round}`).start();
  } else if (dice < 0.9 && alive.length > 2 && victim !== undefined) {
    trace.note(`${victim.id} leaves`);
    void victim.stop();
  } else world.mend();
}

/** Each node counts every counter up, and tells it a number. */
function count({ id: sender, cluster }: Cluster['nodes'][number], n: number, promises: ClusterPromises): void {
  for (const counter of COUNTERS) {
    cluster.tell('counter', counter, 'note', { sender, n });
    void cluster
      .ask('counter', counter, 'add', { sender, n }, 3_000)
      .then((answer) => (answer as Counted).count > 0 && promises.answered(counter, sender, n))
      .catch(() => undefined);
  }
}

async function readAll(world: Cluster, host: VirtualHost, promises: ClusterPromises, violations: Violations): Promise<void> {
  const reader = world.nodes.find(({ state }) => state === 'alive');
  const unread = new Set(COUNTERS);
  const begun = host.clock.now();
  while (unread.size > 0 && host.clock.now() - begun < PATIENCE_MS) {
    for (const counter of unread) {
      const due = promises.due(counter);
      void reader?.cluster
        .ask('counter', counter, 'read', undefined, 900)
        .then((state) => unread.delete(counter) && promises.kept(counter, state as CounterState, due))
        .catch(() => undefined);
    }
    await host.advance(1_000);
  }
  for (const counter of unread) violations.add(`${counter} does not answer when all is well`);
}
