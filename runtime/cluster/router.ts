import type { Admission } from '#runtime/kernel/ref.ts';

import { partitionOfEntity } from './assignment.ts';
import type { BodyCodec } from './body-codec.ts';
import type { EntityHost } from './entity-host.ts';
import type { EntityMessage, NodeMessage } from './node-message.ts';
import type { PendingAsks } from './pending-asks.ts';
import type { Peers } from './peers.ts';
import { errorOf, refusalOf } from './refusals.ts';

/**
 * Brings messages to entities, wherever their partition is owned. A partition, as seen from here:
 *
 * - own: activating (messages wait) -> active (delivered at once) -> draining (they wait, those of others go back).
 *   While the lease is overdue an active one is treated as an activating one.
 * - another node's: messages go there with the epoch that we believe in; a node that does not own it at just that epoch sends
 *   them back (`bounced`), in order.
 * - unknown: messages wait, in order, up to a bound; beyond it they are dead letters with the reason `overflow`.
 * - held: the owner changed while messages were on their way to the old one. Until a probe has come back from there, and with it
 *   all bounces, everything waits: nothing overtakes what was sent before it.
 *
 * Delivery is at most once. What was on its way to a node that died is lost, counted, and told.
 */
export interface Router {
  tell(kind: string, id: string, name: string, payload: unknown): Admission;
  ask(kind: string, id: string, name: string, payload: unknown, timeoutMs: number): Promise<unknown>;
  receive(from: string, message: EntityMessage): void;
  bounced(from: string, bounce: Extract<NodeMessage, { type: 'bounced' }>): void;
  probed(from: string, partition: number, probe: number): void;
  /** What is known of a partition from the database or another node; what is older than known is ignored. */
  learn(partition: number, epoch: number, owner: string | null): void;
  setLocal(partition: number, local: LocalPartition | null): void;
  /** Tries what waits for this node, or (undefined) everything. */
  flush(node?: string): void;
  /** Asks again where an answer to a probe is due: the other node may have had no way to give it. */
  probeAgain(): void;
  /** A session to that node is over: nothing of what was sent there comes back. */
  forget(node: string): void;
  /** Entity messages of a session that is over. */
  lost(messages: readonly NodeMessage[]): void;
  counts(): RouterCounts;
}

export interface LocalPartition {
  readonly epoch: number;
  readonly phase: 'activating' | 'active' | 'draining';
}

/** sent + received = delivered + forwarded + returned + deadLettered + waiting. */
export interface RouterCounts {
  readonly sent: number;
  readonly received: number;
  readonly delivered: number;
  readonly forwarded: number;
  readonly returned: number;
  readonly deadLettered: number;
  readonly waiting: number;
}

export interface EntityDeadLetter {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  /** No room to wait for an owner; lost with a node; the entity did not take it; nobody here knows this kind. */
  readonly reason: 'overflow' | 'lost' | 'refused' | 'no-host';
}

export interface RouterOptions {
  readonly me: string;
  readonly partitions: number;
  readonly peers: Pick<Peers, 'send' | 'isUp'>;
  readonly hosts: ReadonlyMap<string, EntityHost>;
  readonly codec: BodyCodec;
  readonly asks: PendingAsks;
  /** Whether this node may use what it owns. */
  readonly isHeld: () => boolean;
  readonly onDeadLetter: (letter: EntityDeadLetter) => void;
  /** Messages that may wait per partition. */
  readonly capacity?: number;
}

const CAPACITY = 4_096;

/** A message on its way. Its body is made when it leaves this node, or was made by another one. */
interface Parcel {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly partition: number;
  readonly content: { readonly payload: unknown } | { readonly body: Uint8Array };
  readonly ask: { readonly question: number; readonly timeoutMs: number } | undefined;
  /** Who sent it: another node, or (undefined) this one. */
  readonly from: string | undefined;
}

interface Route {
  epoch: number;
  owner: string | null;
  /** Where messages of ours went last, and at which epoch, while that session lasts. */
  sentTo: { readonly node: string; readonly epoch: number } | undefined;
  /** The probe that is under way, and to whom. */
  held: { readonly node: string; readonly probe: number } | undefined;
  waiting: Parcel[];
  /** So many of the waiting came back from an earlier owner; the next one that comes back stands behind them. */
  returned: number;
}

export function createRouter(options: RouterOptions): Router {
  const { me, peers, hosts, codec, asks, capacity = CAPACITY } = options;
  const routes = Array.from({ length: options.partitions }, (): Route => ({
    epoch: 0,
    owner: null,
    sentTo: undefined,
    held: undefined,
    waiting: [],
    returned: 0,
  }));
  const local = new Map<number, LocalPartition>();
  const counts = { sent: 0, received: 0, delivered: 0, forwarded: 0, returned: 0, deadLettered: 0 };
  let probes = 0;

  function routeOf(partition: number): Route {
    const route = routes[partition];
    if (route === undefined) throw new RangeError(`there is no partition ${partition}`);
    return route;
  }

  function submit(parcel: Parcel): Admission {
    const route = routeOf(parcel.partition);
    if (route.waiting.length === 0) {
      const admission = pass(parcel, route);
      if (admission !== 'wait') return admission;
    }
    return enqueue(parcel, route, route.waiting.length);
  }

  function enqueue(parcel: Parcel, route: Route, at: number): Admission {
    // What comes back was admitted before: it is never the one that has to go.
    if (route.waiting.length >= capacity && at === route.waiting.length) {
      bury(parcel, 'overflow');
      return 'full';
    }
    route.waiting.splice(at, 0, parcel);
    return 'accepted';
  }

  /** Delivers or sends it, or says that it has to wait. */
  function pass(parcel: Parcel, route: Route): Admission | 'wait' {
    if (route.held !== undefined) return 'wait';
    const own = local.get(parcel.partition);
    if (own !== undefined) return own.phase === 'active' && options.isHeld() ? deliver(parcel) : 'wait';
    if (route.owner === null || route.owner === me || !peers.isUp(route.owner)) return 'wait';
    return forward(parcel, route, route.owner);
  }

  function deliver(parcel: Parcel): Admission {
    const { kind, id, name, ask, from } = parcel;
    const host = hosts.get(kind);
    if (host === undefined) return bury(parcel, 'no-host');
    if (ask === undefined) {
      const admission = host.tell(id, name, payloadOf(parcel));
      if (admission !== 'accepted') bury(parcel, 'refused');
      else counts.delivered += 1;
      return admission;
    }
    counts.delivered += 1;
    if (from === undefined && !asks.isOpen(ask.question)) return 'accepted';
    host.ask(id, name, payloadOf(parcel), ask.timeoutMs).then(
      (value) => {
        if (from === undefined) asks.answered(ask.question, value);
        else peers.send(from, { type: 'answer', question: ask.question, body: codec.encode(value) });
      },
      (error: unknown) => {
        if (from === undefined) asks.refused(ask.question, error);
        else peers.send(from, refusalOf(ask.question, error));
      },
    );
    return 'accepted';
  }

  function forward(parcel: Parcel, route: Route, owner: string): Admission | 'wait' {
    const { kind, id, name, partition, ask } = parcel;
    const message: EntityMessage = {
      type: 'entity',
      kind,
      id,
      partition,
      epoch: route.epoch,
      name,
      body: bodyOf(parcel),
      ...(ask && { ask }),
    };
    // A full window is room that comes back: the message waits here, where the bound is.
    if (peers.send(owner, message) !== 'accepted') return 'wait';
    counts.forwarded += 1;
    if (route.sentTo?.node !== owner || route.sentTo.epoch !== route.epoch) route.sentTo = { node: owner, epoch: route.epoch };
    if (ask !== undefined) asks.sentTo(ask.question, owner);
    return 'accepted';
  }

  function payloadOf({ content }: Parcel): unknown {
    return 'payload' in content ? content.payload : codec.decode(content.body);
  }

  function bodyOf({ content }: Parcel): Uint8Array {
    return 'body' in content ? content.body : codec.encode(content.payload);
  }

  function bury(
    { kind, id, name, ask, from }: Pick<Parcel, 'kind' | 'id' | 'name' | 'ask' | 'from'>,
    reason: EntityDeadLetter['reason'],
  ): Admission {
    counts.deadLettered += 1;
    if (ask !== undefined) {
      const refusal = refusalOf(ask.question, null, `${kind} ${id} did not take '${name}': ${reason}`);
      if (from === undefined) asks.refused(ask.question, errorOf(refusal));
      else peers.send(from, refusal);
    }
    options.onDeadLetter({ kind, id, name, reason });
    return 'closed';
  }

  function flushOne(partition: number): void {
    const route = routeOf(partition);
    let done = 0;
    for (const parcel of route.waiting) {
      if (pass(parcel, route) === 'wait') break;
      done += 1;
    }
    if (done > 0) route.waiting.splice(0, done);
    route.returned = Math.max(0, route.returned - done);
  }

  function changeOwner(partition: number, epoch: number, owner: string | null): void {
    const route = routeOf(partition);
    if (epoch < route.epoch || (epoch === route.epoch && owner === route.owner)) return;
    route.epoch = epoch;
    route.owner = owner;
    hold(partition, route);
  }

  function hold(partition: number, route: Route): void {
    const { sentTo } = route;
    if (route.held !== undefined || sentTo === undefined) return;
    if (sentTo.node === route.owner && sentTo.epoch === route.epoch) return;
    route.sentTo = undefined;
    const probe = (probes += 1);
    if (peers.send(sentTo.node, { type: 'probe', partition, probe }) === 'accepted') route.held = { node: sentTo.node, probe };
  }

  return {
    tell(kind, id, name, payload) {
      counts.sent += 1;
      const partition = partitionOfEntity(id, options.partitions);
      return submit({ kind, id, name, partition, content: { payload }, ask: undefined, from: undefined });
    },
    ask(kind, id, name, payload, timeoutMs) {
      counts.sent += 1;
      const { question, answer } = asks.open(timeoutMs);
      const partition = partitionOfEntity(id, options.partitions);
      submit({ kind, id, name, partition, content: { payload }, ask: { question, timeoutMs }, from: undefined });
      return answer;
    },
    receive(from, message) {
      counts.received += 1;
      const { kind, id, name, partition, epoch, body, ask } = message;
      const own = local.get(partition);
      if (own === undefined || own.epoch !== epoch || own.phase === 'draining') {
        const route = routeOf(partition);
        counts.returned += 1;
        const known = own === undefined ? route : { epoch: own.epoch, owner: own.phase === 'draining' ? null : me };
        peers.send(from, { type: 'bounced', message, epoch: known.epoch, owner: known.owner });
        return;
      }
      submit({ kind, id, name, partition, content: { body }, ask, from });
    },
    bounced(from, { message, epoch, owner }) {
      const { kind, id, name, partition, body, ask } = message;
      const route = routeOf(partition);
      // It was counted as sent before; now it is on its way once more.
      counts.forwarded -= 1;
      const at = route.returned;
      route.returned += 1;
      enqueue({ kind, id, name, partition, content: { body }, ask, from: undefined }, route, at);
      // The one who sent it back does not own it at the epoch at which we believed that it did.
      if (route.owner === from && epoch <= route.epoch && owner !== from) route.owner = null;
      changeOwner(partition, epoch, owner);
      hold(partition, route);
      flushOne(partition);
    },
    probed(from, partition, probe) {
      const route = routeOf(partition);
      if (route.held?.node !== from || route.held.probe !== probe) return;
      route.held = undefined;
      flushOne(partition);
    },
    learn(partition, epoch, owner) {
      changeOwner(partition, epoch, owner);
      flushOne(partition);
    },
    setLocal(partition, own) {
      if (own === null) local.delete(partition);
      else {
        local.set(partition, own);
        changeOwner(partition, own.epoch, me);
      }
      flushOne(partition);
    },
    flush(node) {
      for (const [partition, route] of routes.entries()) {
        if (route.waiting.length > 0 && (node === undefined || route.owner === node)) flushOne(partition);
      }
    },
    probeAgain() {
      for (const [partition, route] of routes.entries()) {
        if (route.held === undefined) continue;
        const { node, probe } = route.held;
        if (peers.send(node, { type: 'probe', partition, probe }) !== 'closed') continue;
        route.held = undefined;
        flushOne(partition);
      }
    },
    forget(node) {
      for (const [partition, route] of routes.entries()) {
        if (route.sentTo?.node === node) route.sentTo = undefined;
        if (route.held?.node !== node) continue;
        route.held = undefined;
        flushOne(partition);
      }
    },
    lost(messages) {
      for (const message of messages) {
        if (message.type !== 'entity') continue;
        counts.forwarded -= 1;
        bury({ ...message, ask: message.ask, from: undefined }, 'lost');
      }
    },
    counts: () => ({ ...counts, waiting: routes.reduce((n, { waiting }) => n + waiting.length, 0) }),
  };
}
