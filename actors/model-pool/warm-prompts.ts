import type { PromptChain } from '#actors/generation/prompt-chain.ts';

/** Blocks at the beginning that two prompts share. */
export function sharedBlocks(a: PromptChain, b: PromptChain): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i++) if (a[i] !== b[i]) return i;
  return most;
}

/** What a sequence's place in the list is worth to a prompt. */
interface Place {
  readonly index: number;
  readonly shared: number;
  /** Blocks that nobody could go on with any more. */
  readonly lost: number;
}

/**
 * What the sequences of one replica hold, as far as it can be known from here: the prompts that it was given last, one for each sequence.
 * It does what the replica's own pool of sequences does: a prompt goes on with the one that it continues, else takes an empty
 * sequence, else the place of the one that it shares most with, the oldest among equals.
 */
export class WarmPrompts {
  readonly #capacity: number;
  /** The one used last at the end. */
  #prompts: PromptChain[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Blocks that this prompt would cost here: those to compute, and those that others would have to compute again. */
  cost(chain: PromptChain): number {
    const { shared, lost } = this.#place(chain);
    return chain.length - shared + lost;
  }

  /** Sequences that hold nothing that would be lost. */
  get cold(): number {
    return Math.max(0, this.#capacity - this.#prompts.length);
  }

  used(chain: PromptChain): void {
    const { index } = this.#place(chain);
    if (index >= 0) this.#prompts.splice(index, 1);
    this.#prompts.push(chain);
  }

  forget(): void {
    this.#prompts = [];
  }

  #place(chain: PromptChain): Place {
    let best: Place = { index: -1, shared: 0, lost: 0 };
    for (const [index, warm] of this.#prompts.entries()) {
      const shared = sharedBlocks(warm, chain);
      if (best.index < 0 || shared > best.shared) best = { index, shared, lost: warm.length - shared };
    }
    // An eighth less may be a last turn that was taken back.
    const continues = best.shared > 0 && best.lost * 7 <= best.shared;
    return continues || this.cold === 0 ? best : { index: -1, shared: 0, lost: 0 };
  }
}
