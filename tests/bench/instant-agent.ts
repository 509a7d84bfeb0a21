import { WebSocket } from 'ws';

import {
  ToAgent,
  commandsOf,
  type AgentHello,
  type Capabilities,
  type EnrolReply,
  type FromAgent,
  type RunCommand,
  type VoteMessage,
} from '#actors/contract/agent-link.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { inBatches } from '#agent/session/vote-batches.ts';
import { createVoteSigner } from '#agent/attempt/vote-signer.ts';
import { realHost } from '#runtime/host.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

const BEAT_MS = 1_000;
const MEMORY = 2 ** 40;
const VITALS: Vitals = { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] };
const OUTPUT = new TextEncoder().encode('done');
const REF = { sha256: sha256Hex(OUTPUT), size: OUTPUT.length };

/** A device that answers every command at once: the real link, a real key, votes signed as agents sign them, and no work in between. */
export interface InstantAgent {
  readonly device: string;
  /** Votes that the grid refused, by reason: none, unless something is broken. */
  readonly refused: readonly string[];
  close(): Promise<void>;
}

export interface InstantAgentOptions {
  readonly url: string;
  readonly token: string;
  readonly name: string;
  readonly slots: number;
}

/** Enrols with the token and resolves when the link is open. */
export async function startInstantAgent({ url, token, name, slots }: InstantAgentOptions): Promise<InstantAgent> {
  const key = generateKeyPair();
  const { publicKey } = key;
  const proof = hex(key.sign(enrolBytes({ token, publicKey, name })));
  const response = await fetch(new URL('/api/enrol', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, publicKey, name, proof }),
  });
  if (!response.ok) throw new Error(`enrolment refused: ${await response.text()}`);
  const { device, gridKey } = (await response.json()) as EnrolReply;
  const address = new URL('/agent', url);
  address.protocol = 'ws:';
  const refused: string[] = [];
  const opened = Promise.withResolvers<void>();
  const made: VoteMessage[] = [];
  const signer = createVoteSigner({ key, slots, after: (ms, run) => setTimeout(run, ms) });

  const link = createLinkClient<ToAgent, FromAgent>({
    host: realHost(),
    connect: () => wsSocket(new WebSocket(address, { perMessageDeflate: false })),
    peer: device,
    key,
    serverKey: gridKey,
    hello: (): AgentHello => ({ capabilities: capabilitiesOf(name, slots), vitals: VITALS, held: [], epochs: {} }),
    decode: (raw) => ToAgent.parse(raw),
    onOpen: () => opened.resolve(),
    onRefused: (reason) => opened.reject(new Error(`the grid refuses the agent: ${reason}`)),
    onMessage(message) {
      if (message.type === 'run') void vote(message);
      if (message.type === 'runs') for (const command of commandsOf(message)) void vote(command);
      if (message.type === 'voteSettled' && message.outcome === 'refused') refused.push(message.reason ?? '');
    },
  });
  const beats = setInterval(() => link.send({ type: 'beat', load: 0, memoryFreeBytes: MEMORY, running: slots }), BEAT_MS);

  async function vote({ fence, job, shard, module, inputDigest }: RunCommand): Promise<void> {
    const signed = await signer.sign(voteBytes({ job, shard, fence, module: module.sha256, inputDigest, output: REF }));
    if (made.push({ type: 'vote', fence, job, shard, output: REF, bytes: OUTPUT, seconds: 0, ...signed }) === 1)
      queueMicrotask(() => {
        for (const { message } of inBatches(made.splice(0))) link.send(message);
      });
  }

  async function close(): Promise<void> {
    clearInterval(beats);
    await link.close();
  }

  try {
    await opened.promise;
  } catch (error) {
    await close();
    throw error;
  }
  return { device, refused, close };
}

function capabilitiesOf(hostname: string, slots: number): Capabilities {
  return {
    agentVersion: 'bench',
    hostname,
    os: 'linux',
    arch: 'x64',
    cores: 1,
    memoryBytes: MEMORY,
    slots,
    kinds: ['wasm'],
    gpus: [],
    features: ['batches'],
    models: [],
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
