import type { SocketLike } from '#runtime/link/socket.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';
import type { VirtualProcess } from '#runtime/simulation/virtual-process.ts';

/** A connection that nobody answers is given up after this long. */
const UNANSWERED_MS = 2_000;
/** An end that nobody answers gives up by itself after this long, as the `ws` library does. */
const CLOSE_TIMEOUT_MS = 30_000;

interface End {
  readonly process: VirtualProcess;
  state: 'open' | 'closing' | 'closed';
  lastArrival: number;
  /** What arrived while its way was blocked, in order. */
  held: (() => void)[];
  onMessage: (data: Uint8Array) => void;
  onClose: (code: number, reason: string) => void;
}

interface Connection {
  readonly client: End;
  readonly server: End;
  torn: boolean;
}

/**
 * TCP between simulated processes: order is kept and nothing is lost while a connection lives. A way can be blocked in one
 * direction (what is sent meanwhile comes late, as after retransmission), a connection can break in the middle of what is under
 * way, each end hearing of it in its own time or never, and processes can die with or without a word.
 */
export class SimulatedNetwork {
  readonly #host: VirtualHost;
  readonly #listening = new Map<string, { process: VirtualProcess; accept: (socket: SocketLike) => void }>();
  readonly #connections = new Set<Connection>();
  readonly #blocked = new Set<string>();
  /** Addresses of machines that lost power. */
  readonly #powerless = new Set<string>();
  /** Every message takes between these many ms. */
  delayMs: readonly [least: number, most: number] = [0.2, 2];
  delivered = 0;

  constructor(host: VirtualHost) {
    this.#host = host;
  }

  listen(address: string, process: VirtualProcess, accept: (socket: SocketLike) => void): void {
    this.#listening.set(address, { process, accept });
    this.#powerless.delete(address);
  }

  /** Opens a connection; it may still be connecting when it is handed over, and may come to nothing. */
  dial(from: VirtualProcess, address: string, onRefused: () => void = () => undefined): SocketLike {
    const client = newEnd(from);
    const socket = this.#socketOf(client, () => connection);
    let connection: Connection | undefined;
    const early: Uint8Array[] = [];
    const arrive = (): void => {
      const there = this.#listening.get(address);
      if (client.state !== 'open') return;
      if (there === undefined) {
        // A machine without power answers nothing at all; one that runs says that nobody listens.
        const silent = this.#powerless.has(address);
        this.#host.scheduler.after(silent ? UNANSWERED_MS : this.#delay(), () => {
          if (!silent) from.enter(onRefused);
          this.#finish(client, 1006, 'refused');
        });
        return;
      }
      if (this.#isBlocked(from, there.process) || there.process.state === 'frozen') {
        this.#host.scheduler.after(200, arrive);
        return;
      }
      const server = newEnd(there.process);
      const made: Connection = { client, server, torn: false };
      connection = made;
      this.#connections.add(made);
      there.process.enter(() => there.accept(this.#socketOf(server, () => made)));
      for (const data of early) this.#travel(made, client, server, () => server.onMessage(data));
    };
    this.#later(arrive);
    return {
      ...socket,
      send: (data) => (connection === undefined ? void early.push(Uint8Array.from(data)) : socket.send(data)),
      bufferedBytes: 0,
    };
  }

  /** From now on nothing of `from` reaches `to`; what is sent comes when the way is free again. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  unblock(from: string, to: string): void {
    if (!this.#blocked.delete(`${from}>${to}`)) return;
    for (const { client, server } of this.#connections) {
      for (const end of [client, server]) {
        const peer = end === client ? server : client;
        if (peer.process.name !== from || end.process.name !== to) continue;
        const late = end.held;
        end.held = [];
        for (const run of late) end.process.enter(run);
      }
    }
  }

  unblockAll(): void {
    for (const way of this.#blocked) {
      const [from = '', to = ''] = way.split('>');
      this.unblock(from, to);
    }
  }

  /** Breaks the connections of a process: some of what is under way is lost, each end hears of it after up to `noticeMs`. */
  cut(name: string, noticeMs: number): void {
    for (const connection of this.#connections) {
      if (connection.client.process.name !== name && connection.server.process.name !== name) continue;
      connection.torn = true;
      for (const end of [connection.client, connection.server]) {
        this.#host.scheduler.after(this.#host.random() * noticeMs, () => this.#finish(end, 1006, ''));
      }
    }
  }

  /** The process is gone. Its kernel says so to its peers, unless the whole machine lost power (`silent`). */
  died(process: VirtualProcess, silent: boolean): void {
    for (const [address, there] of this.#listening) {
      if (there.process !== process) continue;
      this.#listening.delete(address);
      if (silent) this.#powerless.add(address);
    }
    for (const connection of this.#connections) {
      const { client, server } = connection;
      if (client.process !== process && server.process !== process) continue;
      const peer = client.process === process ? server : client;
      connection.torn = true;
      if (!silent) this.#reset(process, peer);
    }
  }

  #reset(from: VirtualProcess, to: End): void {
    this.#later(() => (this.#isBlocked(from, to.process) ? this.#reset(from, to) : this.#finish(to, 1006, '')));
  }

  get connections(): number {
    return this.#connections.size;
  }

  #socketOf(end: End, connectionOf: () => Connection | undefined): SocketLike {
    const peerOf = ({ client, server }: Connection): End => (end === client ? server : client);
    return {
      send: (data) => {
        const connection = connectionOf();
        if (end.state !== 'open' || connection === undefined) return;
        const copy = Uint8Array.from(data);
        this.#travel(connection, end, peerOf(connection), () => peerOf(connection).onMessage(copy));
      },
      close: (code = 1000, reason = '') => {
        if (end.state !== 'open') return;
        end.state = 'closing';
        const connection = connectionOf();
        this.#host.scheduler.after(CLOSE_TIMEOUT_MS, () => this.#finish(end, 1006, ''));
        if (connection === undefined) return this.#later(() => this.#finish(end, 1006, ''));
        const peer = peerOf(connection);
        this.#travel(connection, end, peer, () => {
          this.#finish(peer, code, reason);
          this.#travel(connection, peer, end, () => this.#finish(end, code, reason));
        });
      },
      abort: () => {
        if (end.state === 'closed') return;
        end.state = 'closing';
        const connection = connectionOf();
        if (connection !== undefined) {
          const peer = peerOf(connection);
          this.#travel(connection, end, peer, () => this.#finish(peer, 1006, ''));
        }
        this.#host.scheduler.after(0, () => this.#finish(end, 1006, ''));
      },
      onMessage: (callback) => void (end.onMessage = (data) => end.state === 'open' && callback(data)),
      onClose: (callback) => void (end.onClose = callback),
      bufferedBytes: 0,
    };
  }

  #isBlocked(from: VirtualProcess, to: VirtualProcess): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from.name}>${to.name}`);
  }

  #delay(): number {
    const [least, most] = this.delayMs;
    return least + this.#host.random() * (most - least);
  }

  #later(run: () => void): void {
    this.#host.scheduler.after(this.#delay(), run);
  }

  #travel(connection: Connection, from: End, to: End, arrive: () => void): void {
    if (connection.torn || to.state === 'closed') return;
    const now = this.#host.clock.now();
    to.lastArrival = Math.max(to.lastArrival, now + this.#delay());
    this.#host.scheduler.after(to.lastArrival - now, () => {
      // Of what was under way when the connection broke, a part still arrives.
      if (to.state === 'closed' || (connection.torn && this.#host.random() < 0.5 && (to.state = 'closing'))) return;
      this.delivered += 1;
      if (to.held.length > 0 || this.#isBlocked(from.process, to.process)) to.held.push(arrive);
      else to.process.enter(arrive);
    });
  }

  #finish(end: End, code: number, reason: string): void {
    if (end.state === 'closed') return;
    end.state = 'closed';
    end.held = [];
    end.process.enter(() => end.onClose(code, reason));
    for (const connection of this.#connections) {
      const ends = [connection.client, connection.server];
      if (ends.every((one) => one.state === 'closed' || one.process.state === 'dead')) this.#connections.delete(connection);
    }
  }
}

function newEnd(process: VirtualProcess): End {
  return { process, state: 'open', lastArrival: 0, held: [], onMessage: () => undefined, onClose: () => undefined };
}
