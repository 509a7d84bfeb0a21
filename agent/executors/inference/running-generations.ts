import { type GenerationFailure, isRetryable, type TokenLogprob } from '#actors/contract/generation.ts';

import type { AnswerProof, GenerationEnd, TaskValues } from './host-protocol.ts';

/** How a generation ended, as the agent reports it. */
export type GenerationOutcome =
  | {
      readonly outcome: 'stop' | 'length' | 'cancelled';
      readonly promptTokens: number;
      readonly completionTokens: number;
      readonly cachedTokens?: number | undefined;
      readonly proof?: AnswerProof | undefined;
      readonly retryable: false;
    }
  | {
      readonly outcome: 'failed';
      readonly promptTokens: number;
      readonly completionTokens: number;
      readonly code: GenerationFailure;
      readonly reason: string;
      /** Whether the same request may succeed when it is tried again, here or elsewhere. */
      readonly retryable: boolean;
    };

/** Where a generation's tokens go. `ended` comes exactly once, and nothing after it. */
export interface GenerationSink {
  /** `from` is the position of the first of `ids` in the answer. Text lags behind ids inside a character or a possible stop string. */
  tokens(from: number, ids: readonly number[], text: string, logprobs?: readonly TokenLogprob[]): void;
  /** What a task computed, in the order of its inputs. */
  values?(values: TaskValues): void;
  ended(outcome: GenerationOutcome): void;
}

export interface TokenBatch {
  readonly from: number;
  readonly ids: readonly number[];
  readonly text: string;
  readonly logprobs?: readonly TokenLogprob[] | undefined;
}

interface Running {
  readonly sink: GenerationSink;
  received: number;
  cancelled: boolean;
}

/** The agent's book of generations that have not ended yet: whatever happens to their host, each of them ends exactly once. */
export class RunningGenerations {
  readonly #running = new Map<string, Running>();

  get size(): number {
    return this.#running.size;
  }

  has(id: string): boolean {
    return this.#running.has(id);
  }

  /** @param first position of the first token to come: not 0 for an answer that began elsewhere */
  add(id: string, sink: GenerationSink, first = 0): void {
    this.#running.set(id, { sink, received: first, cancelled: false });
  }

  /** Marks it as no longer wanted; its `ended` will say so. */
  cancel(id: string): void {
    const running = this.#running.get(id);
    if (running !== undefined) running.cancelled = true;
  }

  /** Hands tokens on. False when they do not continue what came before: then the host is not to be believed. */
  tokens(id: string, { from, ids, text, logprobs }: TokenBatch): boolean {
    const running = this.#running.get(id);
    if (running === undefined) return true;
    if (from !== running.received) return false;
    running.received += ids.length;
    running.sink.tokens(from, ids, text, logprobs);
    return true;
  }

  values(id: string, values: TaskValues): boolean {
    const running = this.#running.get(id);
    if (running === undefined) return true;
    if (values.from !== running.received) return false;
    running.received += countOf(values);
    running.sink.values?.(values);
    return true;
  }

  /** @param whileUnloading a generation that the host cancelled for us, not for its consumer, may go on elsewhere */
  end(id: string, end: GenerationEnd, whileUnloading: boolean): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    this.#running.delete(id);
    if (end.outcome === 'failed') running.sink.ended({ ...end, retryable: isRetryable(end.code) });
    else if (end.outcome === 'cancelled' && whileUnloading && !running.cancelled) {
      running.sink.ended({ ...end, outcome: 'failed', code: 'UNLOADED', reason: 'the model was unloaded', retryable: true });
    } else running.sink.ended({ ...end, retryable: false });
  }

  /** Ends all of them with one reason. */
  failAll(code: GenerationFailure, reason: string): void {
    // Ending one removes it, so the list is taken first.
    const all = Array.from(this.#running, ([id, { received }]) => ({ id, received }));
    for (const { id, received } of all) {
      this.end(id, { outcome: 'failed', code, reason, promptTokens: 0, completionTokens: received }, false);
    }
  }
}

function countOf({ vectors, scores, gaps }: TaskValues): number {
  return vectors?.length ?? scores?.length ?? gaps?.length ?? 0;
}
