/**
 * Many devices in one process, for `leases`: the real link over real WebSockets, a key each, and attempts that run until they
 * are told to finish. Times are milliseconds since 1970 with fractions, so that processes of one machine can be compared.
 */
import { WebSocket } from 'ws';

import { AGENT_LINK_LIMITS } from '#actors/contract/agent-limits.ts';
import { ToAgent, type EnrolReply, type FromAgent, type RunCommand } from '#actors/contract/agent-link.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { realHost } from '#runtime/host.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient } from '#runtime/link/client.ts';
import type { SocketLike } from '#runtime/link/socket.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

/** What is done to a device's line: lost for good, silent for good, or lost once. */
export type Fault = 'lost' | 'silent' | 'blip';

export type Order =
  | { readonly order: 'cut'; readonly agents: readonly number[]; readonly fault: Fault }
  /** Every attempt gives its result now, and later ones at once. */
  | { readonly order: 'finish' };

export type LeaseEvent = { readonly agent: number; readonly at: number } & (
  | { readonly event: 'run'; readonly shard: number }
  /** An attempt is over, however it ended. */
  | { readonly event: 'over'; readonly shard: number }
  | { readonly event: 'open'; readonly resumed: boolean }
  | { readonly event: 'cut'; readonly fault: Fault }
);

export type Report = { readonly report: 'ready' } | { readonly report: 'events'; readonly events: readonly LeaseEvent[] };

const BEAT_MS = 1_000;
const REPORT_MS = 20;
const ENROL_AT_ONCE = 16;
const MEMORY = 2 ** 40;
const OUTPUT = new TextEncoder().encode('done');
const REF = { sha256: sha256Hex(OUTPUT), size: OUTPUT.length };

const [, , url = '', token = '', count = '0', slots = '2'] = process.argv;
const host = realHost();
const now = (): number => performance.timeOrigin + performance.now();
let events: LeaseEvent[] = [];
let finishing = false;

interface Held {
  readonly command: RunCommand;
  vote: FromAgent | null;
}

class Agent {
  readonly #number: number;
  readonly #key = generateKeyPair();
  readonly #held = new Map<string, Held>();
  #socket: SocketLike | undefined;
  #isGone = false;
  #link: LinkClient<FromAgent> | undefined;

  constructor(number: number) {
    this.#number = number;
  }

  async start(): Promise<void> {
    const { publicKey } = this.#key;
    const name = `lease-${this.#number}`;
    const proof = hex(this.#key.sign(enrolBytes({ token, publicKey, name })));
    const response = await fetch(new URL('/api/enrol', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, publicKey, name, proof }),
    });
    if (!response.ok) throw new Error(`enrolment refused: ${await response.text()}`);
    const { device, gridKey } = (await response.json()) as EnrolReply;
    const opened = Promise.withResolvers<void>();
    this.#link = createLinkClient<ToAgent, FromAgent>({
      host,
      connect: () => this.#connect(),
      peer: device,
      key: this.#key,
      serverKey: gridKey,
      limits: AGENT_LINK_LIMITS,
      hello: () => ({
        capabilities: {
          agentVersion: 'bench',
          hostname: name,
          os: 'linux',
          arch: 'x64',
          cores: 1,
          memoryBytes: MEMORY,
          slots: Number(slots),
          kinds: ['wasm'],
          gpus: [],
          models: [],
        },
        vitals: { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] },
        held: [...this.#held.values()].map(({ command }) => command.fence),
        epochs: {},
      }),
      decode: (raw) => ToAgent.parse(raw),
      onOpen: ({ resumed }) => {
        opened.resolve();
        events.push({ event: 'open', agent: this.#number, resumed, at: now() });
        // A new session knows nothing of what the one before it was told.
        if (!resumed) for (const { vote } of this.#held.values()) if (vote !== null) this.#send(vote);
      },
      onMessage: (message) => this.#hear(message),
    });
    const offset = Math.random() * BEAT_MS;
    setTimeout(() => setInterval(() => this.#beat(), BEAT_MS), offset);
    await opened.promise;
  }

  #beat(): void {
    this.#send({ type: 'beat', load: 0, memoryFreeBytes: MEMORY, running: this.#held.size });
  }

  #send(message: FromAgent): void {
    this.#link?.send(message);
  }

  #connect(): SocketLike {
    if (this.#isGone) throw new Error('the line is cut');
    const address = new URL('/agent', url);
    address.protocol = 'ws:';
    const socket = wsSocket(new WebSocket(address, { perMessageDeflate: false }));
    this.#socket = socket;
    return {
      send: (data) => {
        if (!this.#isGone) socket.send(data);
      },
      close: (code, reason) => socket.close(code, reason),
      abort: () => socket.abort?.(),
      onMessage: (callback) =>
        socket.onMessage((data) => {
          if (!this.#isGone) callback(data);
        }),
      onClose: (callback) => socket.onClose(callback),
      get bufferedBytes() {
        return socket.bufferedBytes;
      },
    };
  }

  #hear(message: ToAgent): void {
    if (message.type === 'run') {
      events.push({ event: 'run', agent: this.#number, shard: message.shard, at: now() });
      this.#held.set(fenceText(message.fence), { command: message, vote: null });
      if (finishing) this.finish();
    }
    if (message.type === 'stop' || message.type === 'voteSettled') {
      const held = this.#held.get(fenceText(message.fence));
      this.#held.delete(fenceText(message.fence));
      if (held !== undefined) events.push({ event: 'over', agent: this.#number, shard: held.command.shard, at: now() });
    }
  }

  finish(): void {
    for (const held of this.#held.values()) {
      if (held.vote !== null) continue;
      const { fence, job, shard, module, inputDigest } = held.command;
      const signature = hex(this.#key.sign(voteBytes({ job, shard, fence, module: module.sha256, inputDigest, output: REF })));
      held.vote = { type: 'vote', fence, job, shard, output: REF, bytes: OUTPUT, seconds: 0, signature };
      this.#send(held.vote);
    }
  }

  cut(fault: Fault): void {
    events.push({ event: 'cut', agent: this.#number, fault, at: now() });
    this.#isGone = fault !== 'blip';
    // A silent line stays open: nothing goes through it any more.
    if (fault !== 'silent') this.#socket?.abort?.();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function tell(report: Report): void {
  process.send?.(report);
}

setInterval(() => {
  if (events.length > 0) tell({ report: 'events', events });
  events = [];
}, REPORT_MS);

const agents = Array.from({ length: Number(count) }, (_, number) => new Agent(number));

process.on('message', (order: Order) => {
  if (order.order === 'cut') for (const number of order.agents) agents[number]?.cut(order.fault);
  if (order.order === 'finish') {
    finishing = true;
    for (const agent of agents) agent.finish();
  }
});
process.on('disconnect', () => process.exit(0));

for (let n = 0; n < agents.length; n += ENROL_AT_ONCE) await Promise.all(agents.slice(n, n + ENROL_AT_ONCE).map((agent) => agent.start()));
tell({ report: 'ready' });
