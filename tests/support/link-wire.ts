import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { SocketLike } from '#runtime/link/socket.ts';

/** How a simulated wire treats what is sent over it. */
export interface WireOptions {
  readonly host: Host;
  readonly random?: () => number;
  /** Each message takes between these many ms; order is kept, as TCP keeps it. */
  readonly delayMs?: readonly [least: number, most: number];
  /** Share of the messages that arrive twice. */
  readonly repeat?: number;
  /** Sees each message as it is sent; what it answers goes on the wire instead. */
  readonly tamper?: (data: Uint8Array, from: 'client' | 'server') => Uint8Array;
}

/** Two sockets that talk to each other in the host's time, and what can go wrong between them. */
export interface Wire {
  readonly client: SocketLike;
  readonly server: SocketLike;
  /** Frames sent so far, in order. */
  readonly sent: { readonly from: 'client' | 'server'; readonly data: Uint8Array }[];
  /** Tears the wire: some of what is under way still arrives, then each end sees the close after its own `noticeMs`. */
  cut(noticeMs?: readonly [client: number, server: number]): void;
  /** Half-open: from now on nothing arrives at that end, no close either. */
  freeze(end?: 'client' | 'server' | 'both'): void;
  /** Puts bytes into an end as if the other one had sent them. */
  inject(into: 'client' | 'server', data: Uint8Array): void;
  readonly closed: boolean;
  closedAt(end: 'client' | 'server'): boolean;
}

/** An end that nobody answers gives up by itself after this long, as the `ws` library does. */
const CLOSE_TIMEOUT_MS = 30_000;

interface End {
  readonly socket: SocketLike;
  onMessage: (data: Uint8Array) => void;
  onClose: (code: number, reason: string) => void;
  peer: () => End;
  state: 'open' | 'closing' | 'closed';
  frozen: boolean;
  lastArrival: number;
  arriving: Cancellable[];
}

export function createWire({
  host,
  random = () => host.random(),
  delayMs = [1, 1],
  repeat = 0,
  tamper = (data) => data,
}: WireOptions): Wire {
  const sent: { from: 'client' | 'server'; data: Uint8Array }[] = [];
  let torn = false;
  const client = createEnd('client', () => server);
  const server = createEnd('server', () => client);

  function createEnd(name: 'client' | 'server', peer: () => End): End {
    const end: End = {
      socket: {
        send(data) {
          if (end.state !== 'open') return;
          const tampered = tamper(Uint8Array.from(data), name);
          sent.push({ from: name, data: tampered });
          for (let copies = random() < repeat ? 2 : 1; copies > 0; copies--) travel(peer(), () => peer().onMessage(tampered));
        },
        close(code = 1000, reason = '') {
          if (end.state !== 'open') return;
          end.state = 'closing';
          travel(peer(), () => {
            finish(peer(), code, reason);
            travel(end, () => finish(end, code, reason));
          });
          end.arriving.push(host.scheduler.after(CLOSE_TIMEOUT_MS, () => finish(end, 1006, '')));
        },
        abort() {
          if (end.state === 'closed') return;
          end.state = 'closing';
          travel(peer(), () => finish(peer(), 1006, ''));
          host.scheduler.after(0, () => finish(end, 1006, ''));
        },
        onMessage: (callback) => void (end.onMessage = (data) => end.state === 'open' && callback(data)),
        onClose: (callback) => void (end.onClose = callback),
        bufferedBytes: 0,
      },
      onMessage: () => undefined,
      onClose: () => undefined,
      peer,
      state: 'open',
      frozen: false,
      lastArrival: 0,
      arriving: [],
    };
    return end;
  }

  /** After what went before it, and only while the wire lets anything through to that end. */
  function travel(to: End, arrive: () => void): void {
    if (torn || to.frozen || to.state === 'closed') return;
    const now = host.clock.now();
    to.lastArrival = Math.max(to.lastArrival, now + delayMs[0] + random() * (delayMs[1] - delayMs[0]));
    const timer = host.scheduler.after(to.lastArrival - now, () => {
      to.arriving.splice(to.arriving.indexOf(timer), 1);
      if (!to.frozen) arrive();
    });
    to.arriving.push(timer);
  }

  function finish(end: End, code: number, reason: string): void {
    if (end.state === 'closed') return;
    end.state = 'closed';
    for (const timer of end.arriving.splice(0)) timer.cancel();
    end.onClose(code, reason);
  }

  function tear(end: End, noticeMs: number): void {
    if (end.state === 'closed') return;
    for (const timer of end.arriving.splice(Math.floor(random() * (end.arriving.length + 1)))) timer.cancel();
    host.scheduler.after(noticeMs, () => finish(end, 1006, ''));
  }

  return {
    client: client.socket,
    server: server.socket,
    sent,
    cut([clientMs, serverMs] = [0, 0]) {
      torn = true;
      tear(client, clientMs);
      tear(server, serverMs);
    },
    freeze(end = 'both') {
      if (end !== 'server') client.frozen = true;
      if (end !== 'client') server.frozen = true;
    },
    inject(into, data) {
      (into === 'client' ? client : server).onMessage(data);
    },
    closedAt: (end) => (end === 'client' ? client : server).state === 'closed',
    get closed() {
      return client.state === 'closed' && server.state === 'closed';
    },
  };
}
