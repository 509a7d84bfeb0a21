import type { Host } from '#runtime/kernel/host.ts';

/** Tokens on their way to the consumer: `from` is the position of the first of `ids` in the generation. */
export interface TokenBatch {
  readonly from: number;
  readonly ids: number[];
  readonly text: string;
}

/** Measured: one message a token costs more than a small model's token, one in 15 ms is lost in the noise. */
export const BATCH_TOKENS = 16;
export const BATCH_MS = 15;

export interface TokenBatcher {
  add(id: number, text: string): void;
  /** Text without a token of its own: what was held back at the end. */
  addText(text: string): void;
  flush(): void;
}

/** Collects tokens for `BATCH_MS` or until there are `BATCH_TOKENS`, whichever is first. */
export function createTokenBatcher(host: Pick<Host, 'scheduler'>, send: (batch: TokenBatch) => void): TokenBatcher {
  let from = 0;
  let ids: number[] = [];
  let text = '';
  let timer: { cancel(): void } | undefined;

  function flush(): void {
    timer?.cancel();
    timer = undefined;
    if (ids.length === 0 && text === '') return;
    send({ from, ids, text });
    from += ids.length;
    ids = [];
    text = '';
  }

  return {
    add(id, more) {
      ids.push(id);
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
