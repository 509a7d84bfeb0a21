import { type AddressInfo } from 'node:net';

import { type WebSocket, WebSocketServer } from 'ws';

import { realHost } from '#runtime/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

import { type BareEnd, createBareEnd } from './link/bare-bodies.ts';
import { bareReceive, bareSend } from './link/bare-codec.ts';
import { createEnd, laneOf } from './link/end.ts';
import { cpuSince, type Message } from './link/envelope.ts';
import { settle } from './link/settle.ts';

/** The server's process of `npm run bench -- link`: does what its parent tells it, one order at a time, and says what it cost. */

export type Order =
  | { readonly do: 'receive' | 'pump' | 'bareReceive' | 'bareSend'; readonly count: number }
  | { readonly do: 'urge'; readonly ms: number; readonly withBodies: boolean }
  | { readonly do: 'bareUrge'; readonly ms: number }
  | { readonly do: 'consumeAt'; readonly perSecond: number | null }
  | { readonly do: 'weigh'; readonly ms: number }
  | { readonly do: 'delays' | 'bareDelays' | 'settle' };

let session: LinkSession<Message, Message> | undefined;
const bares = new Map<string, WebSocket>();
let bareEnd: BareEnd | undefined;
const end = createEnd((message) => session?.send(message) ?? 'closed');

const key = generateKeyPair();
const server = createLinkServer<Message, Message>({
  host: realHost(),
  key,
  decode: (raw) => raw as Message,
  lane: laneOf,
  authenticate: async (peer) => ({ publicKey: peer }),
  onFault: (_peer, error) => void process.stderr.write(`${String(error)}\n`),
  onSession(opened) {
    session = opened;
    opened.onMessage(end.arrived);
    opened.onRoom(end.hasRoom);
  },
});

const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: largestFrame() }, () => {
  process.send?.({ port: (sockets.address() as AddressInfo).port, publicKey: key.publicKey });
});
sockets.on('connection', (ws, request) => {
  if (request.url === '/') return server.accept(wsSocket(ws));
  bares.set(request.url ?? '', ws);
  const bodies = bares.get('/bodies');
  const urgent = bares.get('/urgent');
  if (bodies !== undefined && urgent !== undefined) bareEnd ??= createBareEnd(bodies, urgent);
});

async function obey(order: Order): Promise<unknown> {
  const start = process.cpuUsage();
  const socket = bares.get('/bare');
  switch (order.do) {
    case 'receive':
      return { cpuUs: await end.receive(order.count) };
    case 'pump':
      await end.pump(order.count);
      return { cpuUs: cpuSince(start) };
    case 'bareReceive':
      if (socket !== undefined) await bareReceive(socket, order.count);
      return { cpuUs: cpuSince(start) };
    case 'bareSend':
      if (socket !== undefined) await bareSend(socket, order.count);
      return { cpuUs: cpuSince(start) };
    case 'urge':
      return end.urge(order.ms, order.withBodies);
    case 'delays':
      return end.delays();
    case 'consumeAt':
      return end.consumeAt(order.perSecond ?? Infinity);
    case 'weigh':
      return end.weigh(order.ms);
    case 'bareUrge':
      return bareEnd?.urge(order.ms);
    case 'bareDelays':
      return bareEnd?.delays();
    case 'settle':
      return settle();
  }
}

process.on('message', (order: Order & { readonly id: number }) => {
  obey(order).then(
    (value) => process.send?.({ id: order.id, value }),
    (error: unknown) => process.send?.({ id: order.id, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
