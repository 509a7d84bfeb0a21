import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { protocol, tell, type Protocol } from '#runtime/kernel/protocol.ts';
import type { ActorRef, Admission, Ref } from '#runtime/kernel/ref.ts';
import type { System } from '#runtime/kernel/system.ts';

import { createBodyCodec, type BodyCodec, type RemoteAddress } from './body-codec.ts';
import { askByName, tellByName } from './call.ts';
import type { NodeMessage } from './node-message.ts';
import type { PendingAsks } from './pending-asks.ts';
import type { Peers } from './peers.ts';
import { refusalOf } from './refusals.ts';

/**
 * Addresses of actors on other nodes. Each is an actor of this node, a proxy, that sends on what it gets: so it is told, asked
 * and watched like any other, and ends when the actor there ends, or its node.
 */
export interface RemoteActors {
  readonly codec: BodyCodec;
  /** Makes an actor of this node known to all others under a name. */
  publish(name: string, ref: ActorRef, protocol: Protocol): void;
  /** The actor that another node published under that name. */
  on<P extends Protocol>(node: string, name: string, protocol: P): Ref<P>;
  receive(from: string, message: Extract<NodeMessage, { type: 'actor' | 'watch' | 'ended' }>): void;
  /** A session with the node is over: proxies that might miss an end are asked for anew when it lives, ended when it does not. */
  forget(node: string, how: 'gone' | 'cut'): void;
}

export interface RemoteActorsOptions {
  readonly me: string;
  readonly host: Host;
  readonly system: System;
  readonly peers: Pick<Peers, 'send'>;
  readonly asks: PendingAsks;
  /** Protocols of the actors whose addresses may travel inside of messages. */
  readonly protocols: readonly Protocol[];
  readonly onFault: (node: string, error: unknown) => void;
}

interface ProxyArgs {
  readonly send: (name: string, payload: unknown) => Admission;
  readonly ask: (name: string, payload: unknown) => Promise<unknown>;
}

interface Proxy {
  readonly ref: ActorRef;
  readonly address: RemoteAddress;
}

/** An ask through a proxy ends by the asker's own deadline; the proxy's is only there so that it ends at all. */
const PROXY_ASK_MS = 30_000;

const WatcherProtocol = protocol('exports', { watch: tell<{ name: string; ref: ActorRef }>() });

export function createRemoteActors(options: RemoteActorsOptions): RemoteActors {
  const { me, system, peers, asks } = options;
  const protocols = new Map(options.protocols.map((one) => [one.name, one]));
  const definitions = new Map<string, ActorDefinition<Protocol, ProxyArgs>>();
  /** Actors of this node that others have an address of. */
  const exports = new Map<string, { readonly ref: ActorRef; readonly protocol: Protocol; readonly watchers: Set<string> }>();
  const names = new WeakMap<ActorRef, string>();
  const proxies = new Map<string, Proxy>();
  const addresses = new WeakMap<ActorRef, RemoteAddress>();
  let count = 0;

  const watcher = system.spawn({
    id: 'exports',
    restart: 'permanent',
    actor: defineActor({
      protocol: WatcherProtocol,
      mailbox: { capacity: 1_000_000 },
      start: (context) => ({
        watch({ name, ref }) {
          context.watch(ref, () => {
            const watchers = exports.get(name)?.watchers ?? [];
            exports.delete(name);
            for (const node of watchers) peers.send(node, { type: 'ended', to: name });
          });
        },
      }),
    }),
  });

  function exported(name: string, ref: ActorRef, of: Protocol): void {
    exports.set(name, { ref, protocol: of, watchers: new Set() });
    names.set(ref, name);
    watcher.watch({ name, ref });
  }

  function toAddress(ref: ActorRef): RemoteAddress {
    const remote = addresses.get(ref);
    if (remote !== undefined) return remote;
    const of = protocolOf(ref);
    let name = names.get(ref);
    if (name === undefined) {
      count += 1;
      name = `${count} ${ref.path}`.slice(0, 200);
      exported(name, ref, of);
    }
    return { node: me, name, protocol: of.name };
  }

  function protocolOf(ref: ActorRef): Protocol {
    for (const one of protocols.values()) if (ref instanceof one.Ref) return one;
    throw new TypeError(`the address of ${ref.path} cannot leave this node: its protocol was not named`);
  }

  function toRef(address: RemoteAddress): ActorRef {
    const of = protocols.get(address.protocol);
    if (of === undefined) throw new RangeError(`nobody here knows the protocol '${address.protocol}'`);
    if (address.node !== me) return proxyOf(address, of).ref;
    const known = exports.get(address.name);
    // It has ended meanwhile. An address of somebody who never lived says the same.
    return known?.ref ?? ended(of);
  }

  function ended(of: Protocol): ActorRef {
    count += 1;
    const ref = system.spawn({ id: `ended-${count}`, actor: definitionOf(of), restart: 'temporary', args: NOWHERE });
    void system.stop(ref);
    return ref;
  }

  function proxyOf(address: RemoteAddress, of: Protocol): Proxy {
    const key = `${address.node} ${address.name}`;
    const known = proxies.get(key);
    if (known !== undefined) return known;
    count += 1;
    const ref = system.spawn({
      id: `remote-${count}`,
      actor: definitionOf(of),
      restart: 'temporary',
      args: {
        send: (name, payload) => peers.send(address.node, { type: 'actor', to: address.name, name, body: codec.encode(payload) }),
        ask: async (name, payload) => {
          const { question, answer } = asks.open(PROXY_ASK_MS);
          const ask = { question, timeoutMs: PROXY_ASK_MS };
          asks.sentTo(question, address.node);
          if (peers.send(address.node, { type: 'actor', to: address.name, name, body: codec.encode(payload), ask }) !== 'accepted') {
            asks.nodeLost(address.node);
          }
          return answer;
        },
      },
    });
    const proxy = { ref, address };
    proxies.set(key, proxy);
    addresses.set(ref, address);
    if (peers.send(address.node, { type: 'watch', to: address.name }) === 'closed') end(key);
    return proxy;
  }

  function definitionOf(of: Protocol): ActorDefinition<Protocol, ProxyArgs> {
    let definition = definitions.get(of.name);
    if (definition === undefined) {
      definition = defineActor<Protocol, ProxyArgs>({
        protocol: of,
        mailbox: { capacity: 65_536 },
        start: (_context, { send, ask }) =>
          Object.fromEntries(
            Object.entries(of.messages).map(([name, { kind }]) => [
              name,
              kind === 'ask' ? (payload: never) => ask(name, payload) : (payload: never) => void send(name, payload),
            ]),
          ),
      });
      definitions.set(of.name, definition);
    }
    return definition;
  }

  function end(key: string): void {
    const proxy = proxies.get(key);
    proxies.delete(key);
    if (proxy !== undefined) void system.stop(proxy.ref);
  }

  function actor(from: string, { to, name, body, ask }: Extract<NodeMessage, { type: 'actor' }>): void {
    const known = exports.get(to);
    if (known === undefined) {
      peers.send(from, { type: 'ended', to });
      if (ask !== undefined) peers.send(from, refusalOf(ask.question, null, `${to} has ended`));
      return;
    }
    try {
      if (ask === undefined) return void tellByName(known.ref, known.protocol, name, codec.decode(body));
    } catch (error) {
      return options.onFault(from, error);
    }
    askByName(known.ref, known.protocol, name, codec.decode(body), ask.timeoutMs).then(
      (value) => peers.send(from, { type: 'answer', question: ask.question, body: codec.encode(value) }),
      (error: unknown) => peers.send(from, refusalOf(ask.question, error)),
    );
  }

  const codec = createBodyCodec({ toAddress, toRef });

  return {
    codec,
    publish(name, ref, of) {
      protocols.set(of.name, of);
      exported(name, ref, of);
    },
    on<P extends Protocol>(node: string, name: string, of: P): Ref<P> {
      // The proxy was made from this protocol.
      return proxyOf({ node, name, protocol: of.name }, of).ref as Ref<P>;
    },
    receive(from, message) {
      if (message.type === 'actor') return actor(from, message);
      if (message.type === 'ended') return end(`${from} ${message.to}`);
      const known = exports.get(message.to);
      if (known === undefined) peers.send(from, { type: 'ended', to: message.to });
      else known.watchers.add(from);
    },
    forget(node, how) {
      for (const [key, { address }] of proxies) {
        if (address.node !== node) continue;
        if (how === 'gone' || peers.send(node, { type: 'watch', to: address.name }) === 'closed') end(key);
      }
      if (how === 'gone') for (const { watchers } of exports.values()) watchers.delete(node);
    },
  };
}

const NOWHERE: ProxyArgs = { send: () => 'closed', ask: () => Promise.reject(new Error('nobody')) };
