import { WebSocket } from 'ws';

import { laneOfReport } from '#actors/contract/agent-lanes.ts';
import { ToAgent, type AgentHello, type EnrolReply, type FromAgent } from '#actors/contract/agent-link.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import { realHost } from '#runtime/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { Backlog } from '#runtime/link/backlog.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

const MEMORY = 2 ** 40;
const BEAT_MS = 1_000;
const MOST_WAITING = 65_536;

type Generate = Extract<ToAgent, { type: 'generate' }>;
type Compute = Extract<ToAgent, { type: 'compute' }>;
type Ended = Extract<FromAgent, { type: 'generationEnded' }>;
type Tokens = Extract<FromAgent, { type: 'tokens' }>;

/** One generation or task that the grid asked for, in the script's hands. */
export interface Asked {
  readonly message: Generate | Compute;
  /** Which one it is on this agent, from 1. */
  readonly nth: number;
  /** Signs as this agent. */
  sign(bytes: Uint8Array): string;
  cancelled: boolean;
  /** Emits these texts, one token each, from where the answer stands. */
  tokens(texts: readonly string[], more?: Partial<Tokens>): void;
  values(values: Pick<Extract<FromAgent, { type: 'values' }>, 'vectors' | 'scores'>): void;
  end(end?: Partial<Ended>): void;
}

/** A device with the real link and a real key whose engine is a function. */
export interface ScriptedAgent {
  readonly device: string;
  readonly asked: readonly Asked[];
  /** The link's socket is lost and not taken up again until `close`. */
  close(): Promise<void>;
}

export interface ScriptedAgentOptions {
  readonly url: string;
  readonly token: string;
  readonly name: string;
  readonly model: string;
  readonly sequences?: number;
  readonly contextSize?: number;
  /** Of the model's file, when others offer it too. */
  readonly sha256?: string;
  readonly features?: readonly string[];
  readonly script: (asked: Asked) => void;
}

/** Enrols with the token and resolves when the link is open. */
export async function startScriptedAgent(options: ScriptedAgentOptions): Promise<ScriptedAgent> {
  const { url, token, name, model, sequences = 64, contextSize = 4_096, sha256 = 'ab'.repeat(32), features = [], script } = options;
  const key = generateKeyPair();
  const { publicKey } = key;
  const proof = Buffer.from(key.sign(enrolBytes({ token, publicKey, name }))).toString('hex');
  const response = await fetch(new URL('/api/enrol', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, publicKey, name, proof }),
  });
  if (!response.ok) throw new Error(`enrolment refused: ${await response.text()}`);
  const { device, gridKey } = (await response.json()) as EnrolReply;
  const address = new URL('/agent', url);
  address.protocol = 'ws:';
  const opened = Promise.withResolvers<void>();
  const asked: Asked[] = [];
  const open = new Map<string, Asked>();

  function hello(): AgentHello {
    return {
      capabilities: {
        agentVersion: 'scripted',
        hostname: name,
        os: 'linux',
        arch: 'x64',
        cores: 1,
        memoryBytes: MEMORY,
        slots: 0,
        kinds: ['inference'],
        gpus: [],
        features: ['generation-2', ...features],
        models: [{ name: model, sha256, size: 1, contextSize, sequences }],
      },
      vitals: { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] },
      held: [],
      epochs: {},
    };
  }

  const link = createLinkClient<ToAgent, FromAgent>({
    host: realHost(),
    connect: () => wsSocket(new WebSocket(address, { perMessageDeflate: false })),
    peer: device,
    key,
    serverKey: gridKey,
    hello,
    decode: (raw) => ToAgent.parse(raw),
    lane: laneOfReport,
    onRoom: () => backlog.room(),
    onOpen: () => opened.resolve(),
    onRefused: (reason) => opened.reject(new Error(`the grid refuses the agent: ${reason}`)),
    onMessage(message) {
      if (message.type === 'loadModel') link.send({ type: 'modelState', model: message.model, state: 'ready', memoryBytes: 1 });
      if (message.type === 'cancelGeneration') cancel(message.generation);
      if (message.type === 'generate' || message.type === 'compute') begin(message);
    },
  });
  const backlog = new Backlog<FromAgent>({ send: (message) => link.send(message), lane: laneOfReport, most: MOST_WAITING });
  const beats = setInterval(() => link.send({ type: 'beat', load: 0, memoryFreeBytes: MEMORY, running: 0 }), BEAT_MS);

  function cancel(generation: string): void {
    const known = open.get(generation);
    if (known !== undefined) known.cancelled = true;
    known?.end({ outcome: 'cancelled' });
  }

  function begin(message: Generate | Compute): void {
    const { generation } = message;
    let at = message.type === 'generate' ? (message.resume?.tokens.length ?? 0) : 0;
    const one: Asked = {
      message,
      nth: asked.length + 1,
      cancelled: false,
      sign: (bytes) => Buffer.from(key.sign(bytes)).toString('hex'),
      tokens(texts, more = {}) {
        if (!open.has(generation)) return;
        const tokens = texts.map((_, index) => at + index);
        backlog.send({ type: 'tokens', generation, from: at, tokens, text: texts.join(''), ...more });
        at += texts.length;
      },
      values: (values) => void backlog.send({ type: 'values', generation, from: 0, ...values }),
      end(end = {}) {
        if (!open.delete(generation)) return;
        const counts = { promptTokens: 5, completionTokens: at };
        backlog.send({ type: 'generationEnded', generation, outcome: 'stop', ...counts, retryable: false, ...end });
      },
    };
    open.set(generation, one);
    asked.push(one);
    script(one);
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
  return { device, asked, close };
}
