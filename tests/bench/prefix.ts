import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { ChatMessage, GenerationRequest } from '#actors/contract/generation.ts';
import { promptChain } from '#actors/generation/prompt-chain.ts';
import { bestFor, type Replica, RETRY_MS } from '#actors/model-pool/model-pool.state.ts';
import { WarmPrompts } from '#actors/model-pool/warm-prompts.ts';
import { createInferenceHost, type InferenceHost } from '#agent/executors/inference/inference-host.ts';
import { realHost } from '#runtime/host.ts';
import { randomFrom } from '#tests/support/gguf/random-weights.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';

import { type Benchmark, rounded } from './benchmark.ts';

const REPLICAS = 4;
const SEQUENCES = 4;
const CONTEXT = 4_096;
const ANSWER_TOKENS = 16;
/** Requests that are answered at the same time. */
const AT_ONCE = 4;
const WORDS = [
  'the',
  'little',
  'fox',
  'ran',
  'to',
  'river',
  'and',
  'saw',
  'big',
  'tree',
  'with',
  'red',
  'leaves',
  'until',
  'night',
  'stars',
];

type Server = Replica & { readonly warm: WarmPrompts; readonly host: InferenceHost };
type Choice = (request: GenerationRequest, servers: readonly Server[]) => Server;

/** One load: what is asked of a chat when its turn comes, with the answers so far. */
interface Load {
  readonly chats: number;
  readonly turns: number;
  readonly request: (chat: number, messages: readonly ChatMessage[]) => GenerationRequest;
}

/**
 * Prompt tokens that four replicas compute, as their engines count them: chosen by what they know of a prompt, as the model pool does, or
 * one after the other. Real engines in processes of their own and real prompts; the weights are random.
 */
export const prefix: Benchmark = {
  about: 'prompt tokens that four replicas compute in chats, beside round robin',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-prefix-'));
    try {
      const model = path.join(folder, 'tiny.gguf');
      writeTinyLlama(model, { contextLength: CONTEXT });
      const results: Record<string, number> = {};
      for (const [name, load] of Object.entries({ chat: chatLoad(quick), random: randomLoad(quick) })) {
        for (const [way, choose] of Object.entries({ pool: byKnowledge, roundRobin: inTurn() })) {
          const computed = await prefilled(model, load, choose);
          note(`${name}, ${way}: ${computed} prompt tokens computed`);
          results[`${name}${way === 'pool' ? 'Pool' : 'RoundRobin'}Tokens`] = computed;
        }
      }
      const of = (name: string): number => results[name] ?? Number.NaN;
      return {
        figures: results,
        ratios: {
          chatRoundRobinToPool: rounded(of('chatRoundRobinTokens') / of('chatPoolTokens')),
          randomPoolToRoundRobin: rounded(of('randomPoolTokens') / of('randomRoundRobinTokens')),
        },
        targets: { chatRoundRobinToPool: { atLeast: 5 }, randomPoolToRoundRobin: { atMost: 1.05 } },
        absent: {},
      };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

const byKnowledge: Choice = (request, servers) => {
  const chosen = bestFor(promptChain(request), servers, []);
  if (chosen === undefined) throw new Error('all replicas are full');
  return chosen;
};

function inTurn(): Choice {
  let next = 0;
  return (_request, servers) => {
    const server = servers[next++ % servers.length];
    if (server === undefined) throw new Error('there are no replicas');
    return server;
  };
}

function say(random: () => number, words: number): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
}

const sampling = { maxTokens: ANSWER_TOKENS, temperature: 0, topP: 1, seed: 1, stop: [] };

/** Chats that share their instructions; each turn brings all earlier ones along. */
function chatLoad(quick: boolean): Load {
  const random = randomFrom(7);
  const instructions: ChatMessage = { role: 'system', content: say(random, 60) };
  return {
    chats: quick ? 8 : REPLICAS * SEQUENCES - 2,
    turns: 24,
    request: (_chat, messages) => ({
      messages: [instructions, ...messages, { role: 'user', content: say(random, 12) }],
      sampling,
    }),
  };
}

/** Nothing that anybody knows already. */
function randomLoad(quick: boolean): Load {
  const random = randomFrom(11);
  return { chats: quick ? 60 : 200, turns: 1, request: () => ({ prompt: say(random, 20 + Math.floor(random() * 200)), sampling }) };
}

async function prefilled(model: string, load: Load, choose: Choice): Promise<number> {
  const random = randomFrom(3);
  const servers = Array.from({ length: REPLICAS }, (_, n) => serverOf(model, `replica-${n}`));
  try {
    await Promise.all(servers.map(({ host }) => host.load()));
    const histories = Array.from({ length: load.chats }, (): ChatMessage[] => []);
    const open = histories.map((_, chat) => ({ chat, left: load.turns }));
    let computed = 0;
    const worker = async (): Promise<void> => {
      for (;;) {
        // A chat whose turn it is is taken out, as nobody asks twice at once.
        const [turn] = open.splice(Math.floor(random() * open.length), 1);
        if (turn === undefined) return;
        const history = histories[turn.chat] ?? [];
        const request = load.request(turn.chat, history);
        const { text, tokens } = await answer(choose(request, servers), request);
        computed += tokens;
        const asked = request.messages?.at(-1);
        if (asked !== undefined) history.push(asked, { role: 'assistant', content: text });
        if (turn.left > 1) open.push({ chat: turn.chat, left: turn.left - 1 });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return computed;
  } finally {
    await Promise.all(servers.map(({ host }) => host.unload()));
  }
}

function serverOf(modelPath: string, device: string): Server {
  const log = { info() {}, warn() {} };
  const host = createInferenceHost({
    host: realHost(), modelPath, name: 'tiny', contextSize: CONTEXT, sequences: SEQUENCES, threads: 1, log, onState() {},
  }); // prettier-ignore
  return {
    device, host, state: 'ready', memoryBytes: 0, active: 0, failedAt: 0, retryMs: RETRY_MS, capacity: SEQUENCES, draining: false, avoided: false, retiring: false, reason: '',
    warm: new WarmPrompts(SEQUENCES),
  }; // prettier-ignore
}

/** Prompt tokens that the engine had to compute, and what it said. */
async function answer(server: Server, request: GenerationRequest): Promise<{ text: string; tokens: number }> {
  server.active += 1;
  server.warm.used(promptChain(request));
  let text = '';
  const tokens = await new Promise<number>((resolve, reject) => {
    const handle = server.host.generate(
      { generation: randomUUID(), request },
      {
        tokens(_from, ids, more) {
          text += more;
          handle.credit(ids.length);
        },
        ended(end) {
          if (end.outcome === 'failed') reject(new Error(end.reason));
          else resolve(end.promptTokens - (end.cachedTokens ?? 0));
        },
      },
    );
  });
  server.active -= 1;
  return { text, tokens };
}
