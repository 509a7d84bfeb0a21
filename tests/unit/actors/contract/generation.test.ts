import { describe, expect, it } from 'vitest';

import { AgentHello, FromAgent, ToAgent } from '#actors/contract/agent-link.ts';
import { GenerationFailure, isRetryable, positionSeed } from '#actors/contract/generation.ts';
import { callsAsText, toolInstructions } from '#actors/contract/tool-text.ts';

const GENERATION = '00000000-0000-4000-8000-000000000001';
const SAMPLING = { maxTokens: 5, temperature: 0, topP: 1, seed: 1, stop: [] };

describe('the contract of generations', () => {
  it('still takes what the first agents and coordinators said', () => {
    const messages = [{ role: 'user', content: 'hi' }];
    expect(ToAgent.parse({ type: 'generate', generation: GENERATION, model: 'm', messages, sampling: SAMPLING })).toBeDefined();
    expect(FromAgent.parse({ type: 'tokens', generation: GENERATION, from: 0, tokens: [1], text: 'a' })).toBeDefined();
    const counts = { promptTokens: 1, completionTokens: 1 };
    expect(
      FromAgent.parse({ type: 'generationEnded', generation: GENERATION, outcome: 'stop', ...counts, retryable: false }),
    ).toBeDefined();
    const capabilities = {
      agentVersion: '1', hostname: 'h', os: 'linux', arch: 'x64', cores: 1, memoryBytes: 1, slots: 0, kinds: [], gpus: [], models: [],
    }; // prettier-ignore
    expect(AgentHello.parse({ capabilities, held: [], epochs: {} })).toBeDefined();
  });

  it('takes an answer that began elsewhere, and refuses what no coordinator says', () => {
    const request = {
      type: 'generate', generation: GENERATION, model: 'm', prompt: [1, 2],
      sampling: { ...SAMPLING, topK: 4, minP: 0.1, logitBias: [{ token: 3, bias: -100 }], logprobs: 2, seedPerPosition: true },
      resume: { tokens: [7, 8], textLength: 3 },
    }; // prettier-ignore
    expect(ToAgent.parse(request)).toEqual(request);
    for (const wrong of [{ colour: 'red' }, { resume: { tokens: [-1], textLength: 0 } }, { sampling: { ...SAMPLING, logprobs: 21 } }])
      expect(ToAgent.safeParse({ ...request, ...wrong }).success).toBe(false);
  });

  it('takes log-probabilities with the bytes of a part of a character, up to a limit', () => {
    const entry = { token: 1, logprob: -0.5, bytes: Uint8Array.of(0xe2, 0x82), top: [{ token: 2, logprob: -1, bytes: Uint8Array.of(65) }] };
    const message = { type: 'tokens', generation: GENERATION, from: 0, tokens: [1], text: '', logprobs: [entry] };
    expect(FromAgent.parse(message)).toEqual(message);
    for (const wrong of [
      { ...entry, bytes: new Uint8Array(1025) },
      { ...entry, logprob: 1 },
      { ...entry, bytes: 'text' },
    ])
      expect(FromAgent.safeParse({ ...message, logprobs: [wrong] }).success).toBe(false);
  });

  it('knows which failures are the request’s own', () => {
    const lasting = GenerationFailure.options.filter((code) => !isRetryable(code));
    expect(lasting).toEqual(['CONTEXT_LENGTH', 'PROMPT', 'GRAMMAR', 'UNSUPPORTED', 'CONTENT_FILTER']);
  });
});

describe('the seed of a position', () => {
  it('is fixed for good: another build would draw other tokens after a move', () => {
    expect([positionSeed(0, 0), positionSeed(0, 1), positionSeed(1, 0), positionSeed(0xffff_ffff, 1_000_000)]).toMatchInlineSnapshot(`
      [
        1296294863,
        4233998441,
        3334161691,
        1800061368,
      ]
    `);
  });

  it('differs between neighbours, and stays within 32 bits', () => {
    const seeds = new Set<number>();
    for (let seed = 0; seed < 100; seed++) for (let position = 0; position < 100; position++) seeds.add(positionSeed(seed, position));
    expect(seeds.size).toBeGreaterThan(9_990);
    for (const value of seeds) expect(value >>> 0).toBe(value);
  });
});

describe('tool calls as text', () => {
  it('writes calls and instructions in the same form', () => {
    expect(callsAsText([{ name: 'add', arguments: '{"a":1}' }])).toBe('<tool_call>\n{"name": "add", "arguments": {"a":1}}\n</tool_call>');
    const text = toolInstructions([{ name: 'add', description: 'adds "numbers"', parameters: '{"type":"object"}' }]);
    expect(text).toContain('"description": "adds \\"numbers\\""');
    expect(text).toContain('<tool_call>\n{"name": "name", "arguments": {}}\n</tool_call>');
  });
});
