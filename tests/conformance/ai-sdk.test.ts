import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';

import { BABBLER, RECITER, SAYING, SCRIPTED, startConformanceGrid, type ConformanceGrid } from './conformance-grid.ts';

/** A second, independent client against a real grid. */
describe('the Vercel AI SDK', () => {
  let under: ConformanceGrid;
  let provider: ReturnType<typeof createOpenAICompatible>;

  beforeAll(async () => {
    under = await startConformanceGrid();
    const { baseURL, key } = under;
    provider = createOpenAICompatible({ name: 'corpgrid', baseURL, apiKey: key, includeUsage: true, supportsStructuredOutputs: true });
  });
  afterAll(() => under.end());

  const plain = (model: string) => ({ model: provider(model), prompt: 'hi', maxRetries: 0 });

  function addition() {
    const calls: { a: number; b: number }[] = [];
    const add = tool({
      description: 'adds',
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      execute: async (numbers) => {
        calls.push(numbers);
        return numbers.a + numbers.b;
      },
    });
    return { calls, options: { tools: { add }, stopWhen: stepCountIs(3) } };
  }

  it('generates text, with usage and a reason', async () => {
    const result = await generateText(plain(RECITER));
    expect(result.text.trim()).toBe(SAYING.trim());
    expect(result.finishReason).toBe('stop');
    expect(result.usage.totalTokens).toBeGreaterThan(0);
  });

  it('streams text, with usage and a reason', async () => {
    const result = streamText(plain(RECITER));
    let text = '';
    for await (const delta of result.textStream) text += delta;
    expect(text.trim()).toBe(SAYING.trim());
    expect(await result.finishReason).toBe('stop');
    expect((await result.usage).totalTokens).toBeGreaterThan(0);
  });

  it('generates objects by a schema, whole and streamed', async () => {
    const schema = z.object({ name: z.string().max(10), tags: z.array(z.string().max(5)).max(3), old: z.boolean() });
    const { object } = await generateObject({ ...plain(BABBLER), schema, maxOutputTokens: 500 });
    expect(schema.safeParse(object).success).toBe(true);
    const streamed = streamObject({ ...plain(BABBLER), schema, maxOutputTokens: 500 });
    for await (const _ of streamed.partialObjectStream);
    expect(schema.safeParse(await streamed.object).success).toBe(true);
  });

  it('goes through tools in several steps', async () => {
    const { calls, options } = addition();
    const result = await generateText({ ...plain(SCRIPTED), ...options });
    expect(calls).toEqual([{ a: 2, b: 3 }]);
    expect(result.text).toBe('It is 5.');
    expect(result.steps).toHaveLength(2);
  });

  it('goes through tools while streaming', async () => {
    const { calls, options } = addition();
    const types: string[] = [];
    for await (const part of streamText({ ...plain(SCRIPTED), ...options }).fullStream) types.push(part.type);
    expect(calls).toEqual([{ a: 2, b: 3 }]);
    expect(types).toEqual(expect.arrayContaining(['tool-call', 'tool-result', 'text-delta', 'finish']));
    expect(types).not.toContain('error');
  });

  it('forces a tool on a model that knows nothing of tools', async () => {
    const { calls, options } = addition();
    await generateText({ ...plain(BABBLER), tools: options.tools, toolChoice: { type: 'tool', toolName: 'add' }, maxOutputTokens: 400 });
    expect(calls.length).toBeGreaterThan(0);
  });

  it('embeds', async () => {
    const model = provider.textEmbeddingModel(SCRIPTED);
    expect((await embed({ model, value: 'x' })).embedding).toHaveLength(8);
    expect((await embedMany({ model, values: ['x', 'yy'] })).embeddings).toHaveLength(2);
  });

  it('shows the status of a refusal', async () => {
    const error = await generateText(plain('nope')).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(APICallError.isInstance(error) && error.statusCode).toBe(404);
  });
});
