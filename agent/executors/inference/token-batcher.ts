import type { TokenLogprob } from '#actors/contract/generation.ts';
import type { Host } from '#runtime/kernel/host.ts';

/** Tokens on their way to the consumer: `from` is the position of the first of `ids` in the generation. */
export interface TokenBatch {
  readonly from: number;
  readonly ids: number[];
  readonly text: string;
  /** One for each of `ids`, when they are wanted. */
  readonly logprobs?: TokenLogprob[];
}

/** Measured: one message a token costs more than a small model's token, one in 15 ms is lost in the noise. */
export const BATCH_TOKENS = 16;
export const BATCH_MS = 15;

export interface TokenBatcher {
  add(id: number, text: string, logprob?: TokenLogprob): void;
  /** Text without a token of its own: what was held back at the end. */
  addText(text: string): void;
  flush(): void;
}

/**
 * Collects tokens for `BATCH_MS` or until there are `BATCH_TOKENS`, whichever is first.
 *
 * @param first position of the first token: not 0 for an answer that began elsewhere
 */
export function createTokenBatcher(host: Pick<Host, 'scheduler'>, send: (batch: TokenBatch) => void, first = 0): TokenBatcher {
  let from = first;
  let ids: number[] = [];
  let logprobs: TokenLogprob[] = [];
  let text = '';
  let timer: { cancel(): void } | undefined;

  function flush(): void {
    timer?.cancel();
    timer = undefined;
    if (ids.length === 0 && text === '') return;
    send(logprobs.length === 0 ? { from, ids, text } : { from, ids, text, logprobs });
    from += ids.length;
    ids = [];
    logprobs = [];
    text = '';
  }

  return {
    add(id, more, logprob) {
      ids.push(id);
      if (logprob !== undefined) logprobs.push(logprob);
      text += more;
      if (ids.length >= BATCH_TOKENS) flush();
      else timer ??= host.scheduler.after(BATCH_MS, flush);
    },
    addText(more) {
      text += more;
    },
    flush,
  };
}
