import { describe, expect, it } from 'vitest';

import type { ChatMessage } from '#actors/contract/generation.ts';
import { promptChain } from '#actors/generation/prompt-chain.ts';

const sampling = { maxTokens: 6, temperature: 0, topP: 1, seed: 1, stop: [] };
const say = (role: ChatMessage['role'], words: string, times: number): ChatMessage => ({ role, content: words.repeat(times) });
const chainOf = (...messages: ChatMessage[]) => promptChain({ messages, sampling });

describe('the chain of a prompt', () => {
  it('begins alike as long as two chats do, and never again', () => {
    const first = chainOf(say('system', 'be brief ', 40), say('user', 'tell me of the sea ', 40));
    const second = chainOf(
      say('system', 'be brief ', 40),
      say('user', 'tell me of the sea ', 40),
      say('assistant', 'it is wet ', 20),
      say('user', 'and? ', 50),
    );
    expect(second.slice(0, first.length)).toEqual(first);
    expect(second.length).toBeGreaterThan(first.length);
    const other = chainOf(say('system', 'be brief ', 40), say('user', 'tell me of the sky ', 40));
    expect(other.slice(0, 2)).toEqual(first.slice(0, 2));
    expect(other.filter((hash, i) => i > 3 && hash === first[i])).toEqual([]);
  });

  it('knows who said it, and which tools there are', () => {
    const tools = { tools: [{ name: 'look', parameters: '{}' }], choice: 'auto', parallel: true } as const;
    const messages = [say('user', 'what is there ', 40)];
    const plain = promptChain({ messages, sampling });
    expect(promptChain({ messages: [say('assistant', 'what is there ', 40)], sampling })[0]).not.toBe(plain[0]);
    expect(promptChain({ messages, toolUse: { ...tools, tools: [...tools.tools] }, sampling })[0]).not.toBe(plain[0]);
    expect(promptChain({ prompt: 'short', sampling })).toEqual([]);
    expect(promptChain({ prompt: Array.from({ length: 100 }, (_, i) => i), sampling })).toHaveLength(2);
  });
});
