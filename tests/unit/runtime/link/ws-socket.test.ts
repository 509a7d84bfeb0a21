import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';

import { realHost } from '#runtime/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient } from '#runtime/link/client.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import { createLinkServer, type LinkServer } from '#runtime/link/server.ts';
import type { LinkSession } from '#runtime/link/session.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import { decodeNote, type Note, notes, numbers } from '#tests/support/link-pair.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

const host = realHost();
const gridKey = generateKeyPair();
const agentKey = generateKeyPair();

let http: WebSocketServer;
let server: LinkServer;
let client: LinkClient<Note> | undefined;
let dialled: WebSocket[] = [];
let sessions: LinkSession<Note, Note>[] = [];
let atServer: Note[] = [];
let atClient: Note[] = [];
let events: string[] = [];

const url = (): string => `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;

beforeEach(async () => {
  [dialled, sessions, atServer, atClient, events, client] = [[], [], [], [], [], undefined];
  http = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: largestFrame() });
  server = createLinkServer<Note, Note>({
    host,
    key: gridKey,
    decode: decodeNote,
    authenticate: async () => ({ publicKey: agentKey.publicKey }),
    onSession(session) {
      sessions.push(session);
      session.onMessage((note) => void atServer.push(note));
      session.onResumed(() => void events.push('server resumed'));
      session.onClosed((reason) => void events.push(`server closed ${reason}`));
    },
    onFault: (_peer, error) => void events.push(`fault ${String(error)}`),
  });
  http.on('connection', (ws) => server.accept(wsSocket(ws)));
  await once(http, 'listening');
});

afterEach(async () => {
  await client?.close();
  await server.close();
  await new Promise((resolve) => http.close(resolve));
  expect(http.clients.size).toBe(0);
  await waitUntil('every dialled socket is closed', () => dialled.every((ws) => ws.readyState === WebSocket.CLOSED));
});

function dial(): WebSocket {
  const ws = new WebSocket(url(), { perMessageDeflate: false, maxPayload: largestFrame() });
  dialled.push(ws);
  return ws;
}

function openClient(connect: () => WebSocket = dial): LinkClient<Note> {
  client = createLinkClient<Note, Note>({
    host,
    connect: () => wsSocket(connect()),
    peer: 'agent',
    key: agentKey,
    serverKey: gridKey.publicKey,
    hello: () => null,
    decode: decodeNote,
    onOpen: ({ resumed }) => void events.push(resumed ? 'resumed' : 'open'),
    onMessage: (note) => void atClient.push(note),
    onUnreachable: () => void events.push('unreachable'),
  });
  return client;
}

describe('a link over WebSockets', () => {
  it('carries thousands of messages both ways through cuts of either end', async () => {
    const link = openClient();
    await waitUntil('the session is there', () => sessions.length === 1);
    const [session] = sessions;
    const all = notes(1, 4_000);
    for (const [i, note] of all.entries()) {
      const large = { ...note, bytes: new Uint8Array(i % 500 === 0 ? 150_000 : 3).fill(i) };
      while (link.send(large) === 'full') await turn();
      while (session?.send(large) === 'full') await turn();
      if (i === 1_000) for (const ws of http.clients) ws.terminate();
      if (i === 2_500) dialled.at(-1)?.terminate();
      if (i === 2_000) await waitUntil('the first cut is mended', () => events.includes('resumed'));
      if (i % 100 === 0) await turn();
    }
    await waitUntil('all messages arrived', () => atServer.length >= all.length && atClient.length >= all.length);
    expect(numbers(atServer)).toEqual(numbers(all));
    expect(numbers(atClient)).toEqual(numbers(all));
    expect([atServer, atClient].map((list) => list[500]?.bytes?.length)).toEqual([150_000, 150_000]);
    expect(events.toSorted()).toEqual(['open', 'resumed', 'resumed', 'server resumed', 'server resumed']);
    expect(sessions).toHaveLength(1);
  });

  it('takes a server that is not there for a failed attempt, and finds it when it is', async () => {
    let calls = 0;
    const nowhere = 'ws://127.0.0.1:1';
    openClient(() => {
      calls += 1;
      if (calls > 1) return dial();
      const ws = new WebSocket(nowhere);
      dialled.push(ws);
      return ws;
    });
    await waitUntil('it is open', () => events.includes('open'));
    expect(events).toEqual(['unreachable', 'open']);
  });

  it('ends a session that sends text or more than the limit, and stays up', async () => {
    for (const bytes of ['text', Buffer.alloc(largestFrame() + 1)]) {
      const ws = dial();
      await once(ws, 'message');
      ws.send(bytes);
      await once(ws, 'close');
    }
    expect(sessions).toEqual([]);
    openClient();
    await waitUntil('it is open', () => events.includes('open'));
  });

  it('closes with a reason that fits, whatever its length', async () => {
    const ws = dial();
    const closed = once(ws, 'close');
    await once(ws, 'message');
    wsSocket(ws).close(1000, 'é'.repeat(500));
    expect((await closed)[0]).toBe(1000);
  });

  it('tells when what it was given to send may be used again', async () => {
    const sent = new Promise<void>((resolve) => {
      const ws = dial();
      ws.once('open', () => wsSocket(ws).send(new Uint8Array(100_000), resolve));
    });
    await expect(sent).resolves.toBeUndefined();
  });

  it('does not throw when it sends or closes too early or too late', async () => {
    const ws = dial();
    const socket = wsSocket(ws);
    const closed = new Promise((resolve) => socket.onClose(resolve));
    socket.send(Uint8Array.of(1));
    socket.close();
    await closed;
    socket.send(Uint8Array.of(1));
    socket.close();
    socket.abort?.();
    expect(socket.bufferedBytes).toBe(0);
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
