import type { Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient } from '#runtime/link/client.ts';
import type { LinkLimits } from '#runtime/link/limits.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import type { SocketLike } from '#runtime/link/socket.ts';

import type { NodeRow } from './cluster-store.ts';
import { NodeMessage } from './node-message.ts';

/**
 * The links between the nodes: each node dials each other one and sends on its own link, so that nobody has to agree who dials.
 * Order holds per sender and receiver; answers go the other way, on the other link.
 */
export interface Peers {
  /** A socket that another node opened. */
  accept(socket: SocketLike): void;
  /** Dials those who are new, and hangs up on those who are gone. */
  update(nodes: readonly NodeRow[]): void;
  /** 'closed' when there is no such peer. */
  send(node: string, message: NodeMessage): Admission;
  sendAll(message: NodeMessage): void;
  /** False while its link is lost: what is sent then may be lost with its session. */
  isUp(node: string): boolean;
  readonly ids: readonly string[];
  close(): Promise<void>;
}

export interface PeersOptions {
  readonly host: Host;
  readonly id: string;
  readonly key: KeyPair;
  /** Opens a socket to another node; calls `onRefused` when a process that lives would have been reached and none was. */
  readonly dial: (address: string, onRefused: () => void) => SocketLike;
  readonly publicKeyOf: (node: string) => Promise<string | undefined>;
  readonly onMessage: (from: string, message: NodeMessage) => void;
  /** The link to that node is there (again): what waited can go. */
  readonly onUp: (node: string) => void;
  /** These were sent and not acknowledged, and their session is over: they may have arrived or not. */
  readonly onLost: (node: string, messages: readonly NodeMessage[]) => void;
  /** A session of that node is over: what it sent last may have been lost. */
  readonly onBroken: (node: string) => void;
  readonly onSilent: (node: NodeRow) => void;
  readonly onHeard: (node: NodeRow) => void;
  /** Nothing listens at its address any more. */
  readonly onDead: (node: NodeRow) => void;
  readonly onFault: (node: string, error: unknown) => void;
}

/** A peer that says nothing for three pings is silent. */
const LIMITS: Partial<LinkLimits> = {
  handshakeMs: 2_000,
  pingAfterMs: 500,
  deadAfterMs: 1_500,
  keepSessionMs: 10_000,
  ackAfterMs: 20,
  windowBytes: 16 * 1024 * 1024,
  windowMessages: 65_536,
  backoffMinMs: 25,
  backoffMaxMs: 500,
  farewellMs: 500,
};

interface Dialled {
  readonly node: NodeRow;
  readonly link: LinkClient<NodeMessage>;
}

export function createPeers(options: PeersOptions): Peers {
  const { host, id, key } = options;
  const dialled = new Map<string, Dialled>();
  const sessions = new Map<string, LinkSession<NodeMessage, never>>();
  const hangUps = new Set<Promise<void>>();
  const decode = (raw: unknown): NodeMessage => NodeMessage.parse(raw);
  let closing = false;

  const server = createLinkServer<NodeMessage, never>({
    host,
    key,
    decode,
    limits: LIMITS,
    async authenticate(peer) {
      const publicKey = await options.publicKeyOf(peer);
      return publicKey === undefined ? { refuse: 'no node of this cluster' } : { publicKey };
    },
    onFault: options.onFault,
    onSession(session) {
      const { peer } = session;
      sessions.set(peer, session);
      session.onMessage((message) => options.onMessage(peer, message));
      session.onClosed(() => {
        if (sessions.get(peer) === session) sessions.delete(peer);
        if (!closing) options.onBroken(peer);
      });
    },
  });

  function dial(node: NodeRow): Dialled {
    const link = createLinkClient<never, NodeMessage>({
      host,
      limits: LIMITS,
      connect: () => options.dial(node.address, () => options.onDead(node)),
      peer: id,
      key,
      serverKey: node.publicKey,
      hello: () => null,
      // Nothing is sent on a link but by the one who dialled it.
      decode(raw) {
        throw new Error(`an answer came on a link that carries none: ${typeof raw}`);
      },
      onMessage: () => undefined,
      onOpen() {
        options.onHeard(node);
        options.onUp(node.id);
      },
      onSuspended(reason) {
        if (reason === 'silent') options.onSilent(node);
      },
      onUnreachable() {
        if (link.state === 'suspended') options.onSilent(node);
      },
      onLost: (messages) => options.onLost(node.id, messages),
      onRoom: () => options.onUp(node.id),
      onFault: (error) => options.onFault(node.id, error),
    });
    return { node, link };
  }

  function hangUp({ node, link }: Dialled): void {
    dialled.delete(node.id);
    const done = link.close().then(() => void hangUps.delete(done));
    hangUps.add(done);
    sessions.get(node.id)?.close('gone');
  }

  return {
    accept: (socket) => server.accept(socket),
    update(nodes) {
      if (closing) return;
      const wanted = new Map(nodes.filter((node) => node.id !== id).map((node) => [node.id, node]));
      for (const peer of dialled.values()) {
        const now = wanted.get(peer.node.id);
        // A closed link was refused for good: as a life that was declared over, and perhaps is followed by a new one.
        if (now === undefined || now.address !== peer.node.address || peer.link.state === 'closed') hangUp(peer);
        else if (now.incarnation !== peer.node.incarnation) dialled.set(now.id, { node: now, link: peer.link });
      }
      for (const node of wanted.values()) if (!dialled.has(node.id)) dialled.set(node.id, dial(node));
    },
    send: (node, message) => dialled.get(node)?.link.send(message) ?? 'closed',
    sendAll(message) {
      for (const { link } of dialled.values()) link.send(message);
    },
    isUp(node) {
      const state = dialled.get(node)?.link.state;
      return state === 'open' || state === 'connecting';
    },
    get ids() {
      return [...dialled.keys()];
    },
    async close() {
      closing = true;
      for (const peer of dialled.values()) hangUp(peer);
      await Promise.all(hangUps);
      await server.close();
    },
  };
}
