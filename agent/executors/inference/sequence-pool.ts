import type { LlamaContext, LlamaContextSequence, Token } from 'node-llama-cpp';

/** A shorter common beginning is not worth giving up a warm sequence for: nearly every prompt shares its first few tokens. */
const WORTH_TOKENS = 16;

interface Slot {
  sequence: LlamaContextSequence;
  /** The greater, the later it was used. */
  used: number;
}

/** A sequence that holds the beginning of the prompt already. */
export interface Acquired {
  readonly sequence: LlamaContextSequence;
  /** Tokens of the prompt that are computed already; never all of them, as the last one's result is wanted. */
  readonly cached: number;
}

/**
 * The sequences of one context. A finished one keeps what it computed, so that the next prompt that begins alike, as every turn
 * of a chat does, computes only the rest. A prompt that continues one goes on with it; another takes an empty sequence, else the one
 * with the longest common beginning, else the one that was used longest ago.
 */
export class SequencePool {
  readonly #context: LlamaContext;
  readonly #idle: Slot[] = [];
  #left: number;
  #clock = 0;

  constructor(context: LlamaContext, sequences: number) {
    this.#context = context;
    this.#left = sequences;
  }

  /** @param fresh nothing of an earlier prompt is used: the arithmetic of what is kept depends on how it was batched */
  async acquire(prompt: readonly Token[], fresh: boolean): Promise<Acquired> {
    const slot = this.#choose(prompt, fresh);
    const { sequence } = slot;
    try {
      if (fresh) await sequence.clearHistory();
      else {
        const keep = Math.min(commonLength(sequence.contextTokens, prompt), prompt.length - 1);
        if (keep < sequence.nextTokenIndex) await sequence.eraseContextTokenRanges([{ start: keep, end: sequence.nextTokenIndex }]);
      }
    } catch (error) {
      await this.discard(sequence);
      throw error;
    }
    // Models with a sliding window may have had to forget more than was asked for.
    return { sequence, cached: Math.min(sequence.nextTokenIndex, prompt.length - 1) };
  }

  /** Gives it back with what it holds. */
  release(sequence: LlamaContextSequence): void {
    this.#idle.push({ sequence, used: ++this.#clock });
  }

  /** Gives it back after a failure: what it holds is not to be trusted. */
  async discard(sequence: LlamaContextSequence): Promise<void> {
    await sequence.dispose();
    this.#left += 1;
  }

  #choose(prompt: readonly Token[], fresh: boolean): Slot {
    const best = fresh ? undefined : this.#bestMatch(prompt);
    // A prompt that only begins like another chat, as all do that share their instructions, leaves that chat what it has.
    if ((best === undefined || !best.continues) && this.#left > 0) {
      this.#left -= 1;
      return { sequence: this.#context.getSequence(), used: 0 };
    }
    const [slot] = this.#idle.splice(best?.index ?? this.#oldest(), 1);
    if (slot === undefined) throw new Error('no sequence is free');
    return slot;
  }

  /** The idle sequence that shares most with a prompt; the oldest among those where it is about as much. */
  #bestMatch(prompt: readonly Token[]): { readonly index: number; readonly continues: boolean } | undefined {
    let best: { index: number; steps: number; used: number; continues: boolean } | undefined;
    for (const [index, { sequence, used }] of this.#idle.entries()) {
      const held = sequence.contextTokens;
      const common = commonLength(held, prompt);
      const steps = Math.floor(common / WORTH_TOKENS);
      if (steps === 0) continue;
      const better = best === undefined || steps > best.steps || (steps === best.steps && used < best.used);
      if (better) best = { index, steps, used, continues: common * 8 >= held.length * 7 };
    }
    return best;
  }

  #oldest(): number {
    let oldest = 0;
    for (const [index, { used }] of this.#idle.entries()) if (used < (this.#idle[oldest]?.used ?? 0)) oldest = index;
    return oldest;
  }
}

export function commonLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i++) if (a[i] !== b[i]) return i;
  return most;
}
