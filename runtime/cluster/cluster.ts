import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { System } from '#runtime/kernel/system.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { SocketLike } from '#runtime/link/socket.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { ClusterStore, NewNode, NodeLife, NodeRow, PartitionRow } from './cluster-store.ts';
import type { EntityHost } from './entity-host.ts';
import { startLease, type Lease } from './lease.ts';
import type { NodeMessage } from './node-message.ts';
import { createOwnership } from './ownership.ts';
import { createPeers } from './peers.ts';
import { createPendingAsks } from './pending-asks.ts';
import { errorOf } from './refusals.ts';
import { createRemoteActors, type RemoteActors } from './remote-actors.ts';
import { createRouter, type EntityDeadLetter, type RouterCounts } from './router.ts';
import type { SlicedHost } from './slices.ts';
import { createSuspicions } from './suspicion.ts';

/**
 * This process as a node of a cluster. States:
 *
 * - outside: before `start`. Messages wait, nothing is owned.
 * - member: it has a lease. Looks at the database each second, and at once when another node says so: takes and hands off
 *   partitions, dials who is new, declares dead who is. Lease lost (somebody declared *this* life over, as of a process that was
 *   frozen) -> outside, everything dropped, and after a pause a new life.
 * - leaving: by `stop`: drains, hands off, leaves. Final.
 */
export interface Cluster {
  readonly id: string;
  /** Joins. Settles when what this node shall own at first is active. */
  start(): Promise<void>;
  /** Of every partition whose owner is known. Claims and other writes under an owner's epoch may come from any node. */
  readonly epochs: ReadonlyMap<number, number>;
  /** Of the partitions that are active here. */
  readonly owned: ReadonlyMap<number, number>;
  /** To an entity, wherever it lives. 'accepted' may also mean that it waits for its partition's owner. */
  tell(kind: string, id: string, name: string, payload: unknown): Admission;
  ask(kind: string, id: string, name: string, payload: unknown, timeoutMs: number): Promise<unknown>;
  readonly actors: RemoteActors;
  /** Ids of the other nodes. */
  readonly peers: readonly string[];
  /** A socket that another node opened. */
  accept(socket: SocketLike): void;
  /** What the database says may be news. */
  look(): void;
  readonly isHeld: boolean;
  counts(): RouterCounts;
  /** Hands everything off, leaves, and closes the links. */
  stop(): Promise<void>;
}

export interface ClusterTimes {
  readonly ttlMs: number;
  readonly renewMs: number;
  /** The lease is given up this long before the database would. */
  readonly marginMs: number;
  /** Nothing may hang on a lost word: look at the database this often. */
  readonly pollMs: number;
  /** And this often while a node is silent. */
  readonly suspectPollMs: number;
  /** Before a new life begins. */
  readonly rejoinMs: number;
  /** After the database failed, others are not judged by their leases for this long: they, too, could not renew. */
  readonly graceMs: number;
}

export const CLUSTER_TIMES: ClusterTimes = {
  ttlMs: 6_000,
  renewMs: 2_000,
  marginMs: 1_500,
  pollMs: 1_000,
  suspectPollMs: 250,
  rejoinMs: 1_000,
  graceMs: 1_000,
};

export interface ClusterOptions {
  readonly host: Host;
  /** The one that `system` runs on. */
  readonly slices: Pick<SlicedHost, 'onSlice'>;
  readonly system: System;
  readonly store: ClusterStore;
  readonly node: Omit<NewNode, 'publicKey'>;
  readonly key: KeyPair;
  readonly partitions: number;
  readonly hosts: ReadonlyMap<string, EntityHost>;
  /** Of the actors whose addresses travel inside of messages. */
  readonly protocols: readonly Protocol[];
  readonly dial: (address: string, onRefused: () => void) => SocketLike;
  readonly log: Log;
  readonly onDeadLetter?: (letter: EntityDeadLetter) => void;
  /** Who is there changed. */
  readonly onPeers?: (peers: readonly string[]) => void;
  /** A session of another node broke off: what it told actors here may have been lost. */
  readonly onBroken?: (node: string) => void;
  /** The presence store's word on a node, where there is one. */
  readonly isAbsent?: (node: string) => boolean;
  readonly times?: Partial<ClusterTimes>;
}

export function createCluster(options: ClusterOptions): Cluster {
  const { host, store, system, node, key, hosts, log } = options;
  const times = { ...CLUSTER_TIMES, ...options.times };
  let life: NodeLife | undefined;
  let lease: Lease | undefined;
  let state: 'outside' | 'member' | 'leaving' = 'outside';
  let known: readonly NodeRow[] = [];
  let looking: Promise<void> | undefined;
  let lookAgain = false;
  let poll: Cancellable | undefined;
  let rejoin: Cancellable | undefined;
  let judgeAfter = 0;
  const silent = new Set<string>();
  const declared = new Set<string>();
  const epochs = new Map<number, number>();

  const isHeld = (): boolean => lease?.state === 'held';
  options.slices.onSlice(() => void lease?.check());
  const suspicions = createSuspicions({ clock: host.clock, isAbsent: options.isAbsent });
  const asks = createPendingAsks(host);
  const peers = createPeers({
    host,
    id: node.id,
    key,
    dial: options.dial,
    async publicKeyOf(peer) {
      const row = known.find(({ id }) => id === peer) ?? (await store.nodes()).find(({ id }) => id === peer);
      if (row !== undefined && !known.includes(row)) look();
      return row?.publicKey;
    },
    onMessage: receive,
    onUp: (peer) => router.flush(peer),
    onLost(peer, messages) {
      log.warn({ peer, messages: messages.length }, 'messages to a node were lost');
      router.lost(messages);
      router.forget(peer);
      asks.nodeLost(peer);
      actors.forget(peer, 'cut');
    },
    onBroken(peer) {
      asks.nodeLost(peer);
      router.forget(peer);
      if (state === 'member') options.onBroken?.(peer);
    },
    onSilent(peer) {
      if (!silent.has(peer.id)) {
        silent.add(peer.id);
        schedule();
      }
      suspect(peer, node.id);
      peers.sendAll({ type: 'silent', life: { id: peer.id, incarnation: peer.incarnation } });
    },
    onHeard(peer) {
      if (!silent.delete(peer.id)) return;
      suspicions.heard(peer, node.id);
      peers.sendAll({ type: 'heard', life: { id: peer.id, incarnation: peer.incarnation } });
    },
    onDead: declareDead,
    onFault: (peer, error) => log.warn({ peer, error }, 'a node broke the protocol'),
  });
  const actors = createRemoteActors({
    me: node.id,
    host,
    system,
    peers,
    asks,
    protocols: options.protocols,
    onFault: (peer, error) => log.warn({ peer, error }, 'a message of a node could not be delivered'),
  });
  const router = createRouter({
    me: node.id,
    partitions: options.partitions,
    peers,
    hosts,
    codec: actors.codec,
    asks,
    isHeld,
    onDeadLetter: (letter) => {
      log.warn({ ...letter }, 'an entity message was not delivered');
      options.onDeadLetter?.(letter);
    },
  });
  const ownership = createOwnership({
    store,
    hosts,
    router,
    onOwned(by, owned) {
      for (const [partition, epoch] of owned) epochs.set(partition, epoch);
      peers.sendAll({ type: 'owned', life: by, epochs: [...owned] });
    },
    onFreed: () => peers.sendAll({ type: 'look' }),
  });

  function receive(from: string, message: NodeMessage): void {
    switch (message.type) {
      case 'entity':
        return router.receive(from, message);
      case 'bounced':
        return router.bounced(from, message);
      case 'probe':
        return void peers.send(from, { ...message, type: 'probed' });
      case 'probed':
        return router.probed(from, message.partition, message.probe);
      case 'actor':
      case 'watch':
      case 'ended':
        return actors.receive(from, message);
      case 'answer':
        return asks.answered(message.question, actors.codec.decode(message.body));
      case 'refusal':
        return asks.refused(message.question, errorOf(message));
      case 'owned':
        for (const [partition, epoch] of message.epochs) learn(partition, epoch, message.life.id);
        return;
      case 'seen':
        for (const [partition, epoch] of message.epochs) if (epoch > (epochs.get(partition) ?? 0)) epochs.set(partition, epoch);
        return look();
      case 'look':
        return look();
      case 'silent':
        return suspect(message.life, from);
      case 'heard':
        return suspicions.heard(message.life, from);
      default:
        message satisfies never;
    }
  }

  function learn(partition: number, epoch: number, owner: string): void {
    if (epoch >= (epochs.get(partition) ?? 0)) epochs.set(partition, epoch);
    router.learn(partition, epoch, owner);
  }

  function suspect(suspected: NodeLife, witness: string): void {
    if (suspected.id === node.id) return;
    if (suspicions.silent(suspected, witness)) declareDead(suspected);
  }

  function declareDead(dead: NodeLife): void {
    const name = `${dead.incarnation} ${dead.id}`;
    const isKnown = known.some(({ id, incarnation }) => id === dead.id && incarnation === dead.incarnation);
    if (state !== 'member' || !isKnown || declared.has(name) || !isHeld()) return;
    declared.add(name);
    log.warn({ node: dead.id }, 'declaring a node dead');
    store.expire(dead).then(
      () => {
        look();
        peers.sendAll({ type: 'look' });
      },
      (error: unknown) => {
        declared.delete(name);
        log.warn({ node: dead.id, error }, 'a node could not be declared dead');
      },
    );
  }

  function schedule(): void {
    poll?.cancel();
    if (state !== 'member') return;
    poll = host.scheduler.after(silent.size > 0 ? times.suspectPollMs : times.pollMs, look);
  }

  /** Looks now, or once more after the look that is under way. */
  function look(): void {
    if (state !== 'member' || life === undefined) return;
    if (looking !== undefined) {
      lookAgain = true;
      return;
    }
    looking = lookOnce(life)
      .catch((error: unknown) => {
        judgeAfter = host.clock.now() + times.graceMs;
        log.warn({ error }, 'the cluster could not be looked at');
      })
      .finally(() => {
        looking = undefined;
        schedule();
        if (lookAgain) {
          lookAgain = false;
          look();
        }
      });
  }

  async function lookOnce(current: NodeLife): Promise<void> {
    const [nodes, partitions] = await Promise.all([store.nodes(), store.partitions()]);
    if (life !== current || host.clock.now() < judgeAfter) return;
    const before = known.map(({ id }) => id).join(' ');
    for (const { id } of known) if (!nodes.some((one) => one.id === id)) gone(id);
    known = nodes;
    peers.update(nodes);
    router.probeAgain();
    for (const { id, epoch, owner } of partitions) if (owner !== null && epoch > (epochs.get(id) ?? 0)) epochs.set(id, epoch);
    if (known.map(({ id }) => id).join(' ') !== before) options.onPeers?.(peers.ids);
    // A node that is not in the list any more finds out by its lease, and takes nothing until then.
    if (!nodes.some(({ id, incarnation }) => id === current.id && incarnation === current.incarnation)) return;
    tellOutdated(partitions);
    await ownership.reconcile(current, nodes, partitions, epochs);
  }

  /** A database that lost its last commits gives partitions back to owners who may not know that others had them since. */
  function tellOutdated(partitions: readonly PartitionRow[]): void {
    const outdated = new Map<string, [number, number][]>();
    for (const { id, epoch, owner } of partitions) {
      const seen = epochs.get(id) ?? 0;
      if (owner === null || owner.id === node.id || epoch >= seen) continue;
      outdated.set(owner.id, [...(outdated.get(owner.id) ?? []), [id, seen]]);
    }
    for (const [owner, seen] of outdated) peers.send(owner, { type: 'seen', epochs: seen });
  }

  function gone(peer: string): void {
    if (peer === node.id) return;
    silent.delete(peer);
    asks.nodeLost(peer);
    router.forget(peer);
    actors.forget(peer, 'gone');
  }

  async function join(): Promise<void> {
    const since = host.clock.now();
    const { id, address, host: machine, weight } = node;
    const begun = await store.join({ id, address, host: machine, weight, publicKey: key.publicKey }, times.ttlMs);
    life = begun;
    state = 'member';
    lease = startLease({
      host,
      since,
      ttlMs: times.ttlMs,
      renewMs: times.renewMs,
      marginMs: times.marginMs,
      renew: () => store.renew(begun, times.ttlMs),
      onOverdue: () => log.warn({}, 'the lease is overdue: this node uses nothing that it owned'),
      onHeld() {
        router.flush();
        look();
      },
      onLost: () => void startAnew(),
      onFailure(error) {
        judgeAfter = host.clock.now() + times.graceMs;
        log.warn({ error }, 'the lease could not be renewed');
      },
    });
    log.info({ node: begun.id, incarnation: begun.incarnation }, 'joined the cluster');
  }

  async function startAnew(): Promise<void> {
    log.warn({ node: node.id }, 'this node was declared dead: it begins anew');
    life = undefined;
    state = 'outside';
    poll?.cancel();
    await ownership.loseAll();
    rejoin = host.scheduler.after(times.rejoinMs, () => {
      join().then(look, (error: unknown) => {
        log.warn({ error }, 'the cluster could not be joined again');
        void startAnew();
      });
    });
  }

  return {
    id: node.id,
    epochs,
    owned: ownership.active,
    actors,
    async start() {
      await join();
      look();
      await looking;
    },
    tell: (kind, id, name, payload) => router.tell(kind, id, name, payload),
    ask: (kind, id, name, payload, timeoutMs) => router.ask(kind, id, name, payload, timeoutMs),
    get peers() {
      return peers.ids;
    },
    accept: (socket) => peers.accept(socket),
    look,
    get isHeld() {
      return isHeld();
    },
    counts: () => router.counts(),
    async stop() {
      const leaving = life;
      const wasMember = state === 'member';
      state = 'leaving';
      poll?.cancel();
      rejoin?.cancel();
      if (wasMember && leaving !== undefined) {
        try {
          await looking;
          await store.drain(leaving);
          peers.sendAll({ type: 'look' });
          await ownership.handOffAll(leaving);
          await store.leave(leaving);
          peers.sendAll({ type: 'look' });
        } catch (error) {
          // The lease runs out by itself.
          log.warn({ error }, 'the cluster could not be left in order');
        }
      }
      lease?.stop();
      life = undefined;
      await ownership.loseAll();
      await peers.close();
      asks.close();
    },
  };
}
