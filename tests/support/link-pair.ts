import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient, type LinkClientOptions } from '#runtime/link/client.ts';
import type { LinkLimits } from '#runtime/link/limits.ts';
import { createLinkServer, type LinkServer, type LinkServerOptions } from '#runtime/link/server.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import type { SocketLike } from '#runtime/link/socket.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { createWire, type Wire, type WireOptions } from '#tests/support/link-wire.ts';

/** The message of the tests: a number to check the order by, and anything else. */
export interface Note {
  readonly n: number;
  readonly text?: string;
  readonly bytes?: Uint8Array;
}

export function decodeNote(raw: unknown): Note {
  if (typeof raw !== 'object' || raw === null || !('n' in raw) || typeof raw.n !== 'number') throw new Error('not a note');
  return raw as Note;
}

/** A keyed source of bytes: the same for the same seed. */
export function seededEntropy(seed: number): (count: number) => Uint8Array {
  const random = seededRandom(seed);
  return (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
}

/** A server's session and what its owner heard. */
export interface Seen {
  readonly session: LinkSession<Note, Note>;
  readonly received: Note[];
  readonly events: string[];
  readonly undelivered: Note[];
}

/** A client and a server in virtual time, with a simulated wire per connection and a log of what each side heard. */
export interface LinkPair {
  readonly host: VirtualHost;
  readonly server: LinkServer;
  readonly client: LinkClient<Note>;
  readonly serverKey: KeyPair;
  readonly clientKey: KeyPair;
  readonly wires: Wire[];
  readonly sessions: Seen[];
  readonly received: Note[];
  readonly events: string[];
  readonly lost: Note[];
  readonly faults: unknown[];
  readonly refusals: string[];
  /** A further connection to the server. */
  dial(): Wire;
  /** The newest wire, session. Throw when there is none. */
  wire(): Wire;
  session(): Seen;
  /** Closes both ends and throws when anything is left behind: timers, or sockets that are not closed. */
  close(): Promise<void>;
}

export interface PairOptions {
  readonly seed?: number;
  readonly limits?: Partial<LinkLimits>;
  readonly wire?: Omit<WireOptions, 'host' | 'random'>;
  /** How the client gets its socket, instead of by `dial`. */
  readonly connect?: (tools: { readonly host: VirtualHost; readonly dial: () => Wire }) => SocketLike | Promise<SocketLike>;
  readonly client?: Partial<LinkClientOptions<Note, Note>>;
  readonly server?: Partial<LinkServerOptions<Note, Note>>;
  /** What the server's owner does with a message; the promise says when it has consumed it. */
  readonly onServerMessage?: (note: Note, session: LinkSession<Note, Note>) => void | Promise<void>;
  readonly onClientMessage?: (note: Note) => void | Promise<void>;
}

export function openPair(options: PairOptions = {}): LinkPair {
  const {
    seed = 1,
    limits = {},
    wire: wireOptions = {},
    connect = ({ dial }) => dial().client,
    onServerMessage,
    onClientMessage,
  } = options;
  const host = virtualHost(seed);
  const serverKey = generateKeyPair(seededEntropy(seed));
  const clientKey = generateKeyPair(seededEntropy(seed + 1));
  const wires: Wire[] = [];
  const sessions: Seen[] = [];
  const received: Note[] = [];
  const events: string[] = [];
  const lost: Note[] = [];
  const faults: unknown[] = [];
  const refusals: string[] = [];

  const server = createLinkServer<Note, Note>({
    host,
    key: serverKey,
    decode: decodeNote,
    authenticate: async (peer) => (peer === 'agent' ? { publicKey: clientKey.publicKey } : { refuse: 'nobody of that name' }),
    onSession(session) {
      const seen: Seen = { session, received: [], events: [], undelivered: [] };
      sessions.push(seen);
      session.onMessage((note) => {
        seen.received.push(note);
        return onServerMessage?.(note, session);
      });
      session.onSuspended(() => seen.events.push('suspended'));
      session.onResumed(() => seen.events.push('resumed'));
      session.onRoom(() => seen.events.push('room'));
      session.onClosed((reason, undelivered) => {
        seen.events.push(`closed ${reason}`);
        seen.undelivered.push(...undelivered);
      });
    },
    onFault: (_peer, error) => faults.push(error),
    onRefused: (_peer, why) => refusals.push(why),
    limits,
    entropy: seededEntropy(seed + 2),
    ...options.server,
  });
  function dial(): Wire {
    const wire = createWire({ host, ...wireOptions });
    wires.push(wire);
    server.accept(wire.server);
    return wire;
  }
  const client = createLinkClient<Note, Note>({
    host,
    connect: () => connect({ host, dial }),
    peer: 'agent',
    key: clientKey,
    serverKey: serverKey.publicKey,
    hello: () => ({ greeting: events.length }),
    decode: decodeNote,
    onOpen: ({ resumed }) => void events.push(resumed ? 'resumed' : 'open'),
    onMessage(note) {
      received.push(note);
      return onClientMessage?.(note);
    },
    onSuspended: (reason) => void events.push(`suspended ${reason}`),
    onRefused: (reason, final) => void events.push(`refused ${reason}${final ? ' for good' : ''}`),
    onLost: (notes) => void lost.push(...notes),
    onRoom: () => void events.push('room'),
    onUnreachable: () => void events.push('unreachable'),
    onFault: (error) => void faults.push(error),
    limits,
    entropy: seededEntropy(seed + 3),
    ...options.client,
  });

  return {
    host,
    server,
    client,
    serverKey,
    clientKey,
    wires,
    sessions,
    received,
    events,
    lost,
    faults,
    refusals,
    dial,
    wire: () => newest(wires, 'wire'),
    session: () => newest(sessions, 'session'),
    async close() {
      const done = Promise.all([client.close(), server.close()]);
      // Beyond the wire's own close timeout: a frozen end gives up by then.
      await host.advance(40_000);
      await done;
      const open = wires.filter((wire) => !wire.closed).length;
      if (open > 0 || host.pendingTimers > 0) throw new Error(`left behind: ${open} open wires, ${host.pendingTimers} timers`);
    },
  };
}

function newest<T>(list: readonly T[], what: string): T {
  const last = list.at(-1);
  if (last === undefined) throw new Error(`there is no ${what}`);
  return last;
}

/** Notes numbered from `from` to `to`, both included. */
export function notes(from: number, to: number): Note[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i }));
}

export function numbers(list: readonly Note[]): number[] {
  return list.map((note) => note.n);
}
