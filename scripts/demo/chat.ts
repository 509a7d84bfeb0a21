import OpenAI from 'openai';

import type { Grid } from '#tests/support/grid.ts';

import { round } from './run-job.ts';

export interface ChatReport {
  readonly model: string;
  readonly device: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly tokensPerSecond: number;
  readonly check: 'passed' | 'failed';
  readonly detail: string;
}

const TOKENS = 200;
const MESSAGES = [{ role: 'user' as const, content: 'Tell me a story about a lighthouse.' }];

/** Streams a completion with the official client and compares it with the same one asked for as a whole. */
export async function chatWith(grid: Grid, model: string): Promise<ChatReport> {
  const client = new OpenAI({ baseURL: `${grid.url}/v1`, apiKey: grid.adminKey, maxRetries: 0 });
  const request = { model, messages: MESSAGES, max_tokens: TOKENS, seed: 7, temperature: 0.8 };
  // The first request loads the model; the rate shall be that of the model.
  const whole = await client.chat.completions.create(request).withResponse();
  const started = performance.now();
  let text = '';
  let usage = { prompt_tokens: 0, completion_tokens: 0 };
  const streamed = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of streamed) {
    text += chunk.choices[0]?.delta.content ?? '';
    if (chunk.usage) usage = chunk.usage;
  }
  const seconds = (performance.now() - started) / 1000;
  const equal = text === whole.data.choices[0]?.message.content && text.length > 0;
  return {
    model,
    device: whole.response.headers.get('x-corpgrid-device') ?? '',
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    tokensPerSecond: round(usage.completion_tokens / seconds),
    check: equal ? 'passed' : 'failed',
    detail: equal
      ? 'the streamed text equals the whole one of the same seed'
      : 'the streamed text differs from the whole one of the same seed',
  };
}
