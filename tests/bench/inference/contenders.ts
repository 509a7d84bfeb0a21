import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';

import { createInferenceHost } from '#agent/executors/inference/inference-host.ts';
import { realHost } from '#runtime/host.ts';

import { CONTEXT } from './random-model.ts';

export const SEQUENCES = 8;
/** One, so that others on the machine disturb least and all contenders have the same. */
const THREADS = 1;
const BATCH = 512;

/** Something that answers prompts of tokens greedily. */
export interface Contender {
  /** Resolves with the number of tokens that came. */
  generate(prompt: readonly number[], maxTokens: number): Promise<number>;
  end(): Promise<void>;
}

/** The agent's engine as the grid uses it: its process, its thread, its scheduler, tokens streamed with credit. */
export async function ourHost(modelPath: string): Promise<Contender> {
  const host = createInferenceHost({
    host: realHost(), modelPath, name: 'random', contextSize: CONTEXT, sequences: SEQUENCES, threads: THREADS, log: { info() {}, warn() {} }, onState() {},
  }); // prettier-ignore
  await host.load();
  return {
    generate: (prompt, maxTokens) =>
      new Promise((resolve, reject) => {
        let tokens = 0;
        const sampling = { maxTokens, temperature: 0, topP: 1, seed: 1, stop: [] };
        const handle = host.generate(
          { generation: randomUUID(), request: { prompt: [...prompt], sampling } },
          {
            tokens(_from, ids) {
              tokens += ids.length;
              handle.credit(ids.length);
            },
            ended: (end) => (end.outcome === 'failed' ? reject(new Error(end.reason)) : resolve(tokens)),
          },
        );
      }),
    end: () => host.unload(),
  };
}

/** The library as its documentation shows it, in this process. */
export async function bareLibrary(modelPath: string): Promise<Contender> {
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize: CONTEXT, sequences: SEQUENCES, batchSize: BATCH, threads: THREADS });
  return {
    async generate(prompt, maxTokens) {
      const sequence = context.getSequence();
      let tokens = 0;
      try {
        for await (const _token of sequence.evaluate([...prompt] as Token[], { temperature: 0, yieldEogToken: true })) {
          tokens += 1;
          if (tokens >= maxTokens) break;
        }
      } finally {
        await sequence.dispose();
      }
      return tokens;
    },
    end: () => llama.dispose(),
  };
}

/** @throws Error when there is no such program here */
export async function llamaServer(modelPath: string, program: string): Promise<Contender> {
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const options: Readonly<Record<string, string | number>> = {
    '--model': modelPath,
    '--host': '127.0.0.1',
    '--port': port,
    '--ctx-size': CONTEXT * SEQUENCES,
    '--parallel': SEQUENCES,
    '--threads': THREADS,
    '--threads-batch': THREADS,
    '--batch-size': BATCH,
    '--ubatch-size': BATCH,
    '--cache-ram': 0,
  };
  const args = [...Object.entries(options).flat().map(String), '--no-cache-prompt', '--offline', '--no-ui'];
  const child = spawn(program, args, { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; !(await healthy(url)); tries++) {
    const why = child.exitCode ?? child.signalCode;
    if (why === null && tries < 300) {
      await sleep(200);
      continue;
    }
    if (why === null) await ended(child);
    throw new Error(`llama-server did not start: ${why ?? 'it was silent for a minute'}`);
  }
  return {
    async generate(prompt, maxTokens) {
      const body = JSON.stringify({ prompt, n_predict: maxTokens, temperature: 0, stream: true, cache_prompt: false, ignore_eos: true });
      const response = await fetch(`${url}/completion`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      const text = await response.text();
      const last = /"tokens_predicted":(\d+)(?!.*"tokens_predicted")/s.exec(text);
      if (!response.ok || last === null) throw new Error(`llama-server answered ${response.status}: ${text.slice(-300)}`);
      return Number(last[1]);
    },
    end: () => ended(child),
  };
}

async function healthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
