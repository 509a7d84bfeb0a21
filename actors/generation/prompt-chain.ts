import type { GenerationRequest } from '#actors/contract/generation.ts';

/** Characters that are compared at once. */
const BLOCK = 128;

/**
 * The beginning of a prompt as a chain of hashes: entry i stands for the first (i + 1) · 128 characters. Two prompts begin alike for as long
 * as their chains do. Hashes only: what people wrote does not stay here, and a collision costs a prefill and nothing else.
 */
export type PromptChain = readonly number[];

/** What the tokens of a prompt depend on, the last turn at the end: the next turn of a chat begins like this one. */
function* textOf({ messages = [], prompt, toolUse }: GenerationRequest): Generator<string> {
  if (toolUse !== undefined) yield JSON.stringify(toolUse.tools);
  for (const message of messages) yield JSON.stringify(message);
  if (prompt !== undefined) yield typeof prompt === 'string' ? prompt : prompt.join(' ');
}

export function promptChain(request: GenerationRequest): PromptChain {
  const chain: number[] = [];
  // FNV-1a over UTF-16 units, going on from block to block.
  let hash = 0x811c_9dc5;
  let length = 0;
  for (const text of textOf(request)) {
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
      length += 1;
      if (length % BLOCK === 0) chain.push(hash);
    }
  }
  return chain;
}
