import path from 'node:path';

import { untilPresent } from '#tests/faults/grid-under-test.ts';
import { newKey, newToken } from '#tests/integration/doors/visitors.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { startScriptedAgent, type Asked, type ScriptedAgent } from '#tests/support/scripted-agent.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

/** Babbles without end: real weights, real engine, no sense. */
export const BABBLER = 'babbler';
/** Says `SAYING` and ends. */
export const RECITER = 'reciter';
export const SAYING = ' the little fox ran to one old river and saw a big tree with red leaves';
/** A function behind the agents' real link: what a model of sense would do with tools. */
export const SCRIPTED = 'scripted';

const CONTEXT = 4_096;

export interface ConformanceGrid {
  readonly grid: Grid;
  readonly baseURL: string;
  readonly key: string;
  end(): Promise<void>;
}

/** A whole grid with a real agent that serves two tiny models, and a scripted one for what takes a trained model. */
export async function startConformanceGrid(): Promise<ConformanceGrid> {
  const grid = await startGrid();
  let scripted: ScriptedAgent | null = null;
  try {
    const files = [BABBLER, RECITER].map((name) => path.join(grid.folder, `${name}.gguf`));
    writeTinyLlama(files[0] ?? '', { contextLength: CONTEXT });
    writeTinyLlama(files[1] ?? '', { contextLength: CONTEXT, recite: SAYING, ends: true });
    const { device } = await grid.startAgent('engine', { slots: 0, models: files, contextSize: CONTEXT, sequences: 4 });
    scripted = await startScriptedAgent({ url: grid.url, token: await newToken(grid), name: 'script', model: SCRIPTED, script: converse });
    await untilPresent(grid, [device, scripted.device]);
    const { key } = await newKey(grid, 'writers');
    const wanted = [BABBLER, RECITER, SCRIPTED];
    await waitUntil('all models are offered', async () => {
      const response = await fetch(`${grid.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
      const { data } = (await response.json()) as { data: { id: string }[] };
      return wanted.every((name) => data.some(({ id }) => id === name));
    });
    return {
      grid,
      baseURL: `${grid.url}/v1`,
      key,
      async end() {
        await scripted?.close();
        await grid.end();
      },
    };
  } catch (error) {
    await scripted?.close();
    await grid.end();
    throw error;
  }
}

/** Calls the first tool with 2 and 3 until its result is in the conversation, then says it; turns texts into numbers. */
function converse(asked: Asked): void {
  const { message } = asked;
  if (message.type === 'compute') return compute(asked);
  const { messages = [], toolUse } = message;
  const results = messages.filter(({ role }) => role === 'tool');
  const tool = toolUse?.tools[0];
  if (tool === undefined || results.length > 0) {
    asked.tokens(['It is ', results.map(({ content }) => content).join(', ') || 'nothing', '.']);
    return asked.end();
  }
  const call = `<tool_call>\n{"name": "${tool.name}", "arguments": {"a": 2, "b": 3}}\n</tool_call>`;
  // In pieces that cut through everything.
  asked.tokens(call.match(/[^]{1,5}/g) ?? []);
  asked.end();
}

function compute(asked: Asked): void {
  if (asked.message.type !== 'compute') return;
  const { task } = asked.message;
  if (task.kind === 'embedding') {
    const vectors = task.inputs.map((input) => unitVector(String(input).length));
    asked.values({ vectors });
  } else if (task.kind === 'rerank') {
    const { query } = task;
    asked.values({ scores: task.documents.map((document) => (document.includes(query) ? 0.9 : 0.1)) });
  }
  asked.end({ completionTokens: 0, promptTokens: 7 });
}

/** Eight dimensions, so that a test can cut it. */
function unitVector(length: number): Uint8Array {
  const values = Float32Array.from({ length: 8 }, (_, at) => Math.sin(at + length));
  const size = Math.hypot(...values);
  return new Uint8Array(values.map((value) => value / size).buffer);
}
