import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

import { WebSocketServer } from 'ws';

import { laneOfCommand } from '#actors/contract/agent-lanes.ts';
import { AGENT_LINK_LIMITS } from '#actors/contract/agent-limits.ts';
import { AgentHello, FromAgent, type ToAgent } from '#actors/contract/agent-link.ts';
import { holdSession } from '#actors/device/held-session.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

import type { GatewayArgs } from './gateway.ts';

const AGENT_PATH = '/agent';
/** Other coordinators; see runtime/cluster. */
const PEER_PATH = '/peer';
/** socket.io answers its own upgrades. */
const SOCKET_IO_PATH = '/socket.io/';
const MAX_PAYLOAD = largestFrame();

/** The agents' door: a WebSocket whose first words are a mutual challenge, then the link. */
export function openAgentSocket(server: Server, { services, host, devices, acceptPeer }: GatewayArgs): { close(): Promise<void> } {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false });
  const link = createLinkServer<FromAgent, ToAgent>({
    host,
    key: services.key,
    decode: (raw) => FromAgent.parse(raw),
    lane: laneOfCommand,
    limits: AGENT_LINK_LIMITS,
    async authenticate(peer) {
      const device = await services.store.findDevice(peer);
      if (device === null || device.state === 'revoked') return { refuse: 'the device is unknown or revoked' };
      return { publicKey: device.publicKey };
    },
    onFault: (device, error) => services.log.warn({ device, error }, 'agent session broke the protocol'),
    onRefused: (device, reason) => services.log.info({ device, reason }, 'agent refused'),
    onSession(session) {
      const hello = AgentHello.safeParse(session.hello);
      if (!hello.success) {
        services.log.warn({ device: session.peer, error: hello.error }, 'hello refused');
        return session.close('the hello does not fit this coordinator: update the agent');
      }
      devices.opened({ session: holdSession(session), hello: hello.data });
    },
  });

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { pathname } = new URL(request.url ?? '/', 'http://grid');
    if (pathname.startsWith(SOCKET_IO_PATH)) return;
    // An upgrade that nobody takes would hold its socket, and the server's end, for ever.
    if (pathname === PEER_PATH && acceptPeer !== undefined) {
      return sockets.handleUpgrade(request, socket, head, (ws) => acceptPeer(wsSocket(ws)));
    }
    if (closing || pathname !== AGENT_PATH) return void socket.destroy();
    sockets.handleUpgrade(request, socket, head, (ws) => link.accept(wsSocket(ws)));
  }
  let closing = false;
  server.on('upgrade', upgrade);

  return {
    async close() {
      closing = true;
      await link.close();
      for (const ws of sockets.clients) ws.terminate();
      sockets.close();
    },
  };
}
