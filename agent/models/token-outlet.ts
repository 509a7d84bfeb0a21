import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { TokenLogprob } from '#actors/contract/generation.ts';
import type { Host } from '#runtime/kernel/host.ts';

type Tokens = Extract<FromAgent, { type: 'tokens' }>;

/** The most tokens that one message may have. */
const MOST_TOKENS = 1_024;

export interface TokenOutletOptions {
  readonly generation: string;
  readonly host: Pick<Host, 'scheduler'>;
  /** `taken` is called when the link has the message. */
  readonly send: (message: Tokens, taken: () => void) => void;
  /** So many tokens are on their way: their generation may make as many anew. A piece of text without tokens, from an upstream, counts as one. */
  readonly credit: (tokens: number) => void;
}

/**
 * One generation's tokens on their way to the link. What comes in one turn of the event loop, or while the link takes nothing, goes as
 * one message: messages cost more than tokens.
 */
export class TokenOutlet {
  readonly #options: TokenOutletOptions;
  #from = 0;
  #tokens: number[] = [];
  #logprobs: TokenLogprob[] = [];
  #text = '';
  #credit = 0;
  #scheduled = false;
  /** A message of ours waits for room. */
  #held = false;

  constructor(options: TokenOutletOptions) {
    this.#options = options;
  }

  /** @param from position of the first of `tokens`, right behind those that came before */
  add(from: number, tokens: readonly number[], text: string, logprobs?: readonly TokenLogprob[]): void {
    if (this.#tokens.length === 0 && this.#text === '') this.#from = from;
    for (const token of tokens) this.#tokens.push(token);
    if (logprobs !== undefined) for (const logprob of logprobs) this.#logprobs.push(logprob);
    this.#text += text;
    this.#credit += Math.max(1, tokens.length);
    if (this.#tokens.length >= MOST_TOKENS) return this.flush();
    if (this.#scheduled || this.#held) return;
    this.#scheduled = true;
    this.#options.host.scheduler.yieldThen(() => {
      this.#scheduled = false;
      if (!this.#held) this.flush();
    });
  }

  /** Sends what is there, before whatever is sent next. */
  flush(): void {
    const [from, tokens, logprobs, text, used] = [this.#from, this.#tokens, this.#logprobs, this.#text, this.#credit];
    if (tokens.length === 0 && text === '') return;
    this.#tokens = [];
    this.#logprobs = [];
    this.#text = '';
    this.#credit = 0;
    const { generation, send, credit } = this.#options;
    const likelihoods = logprobs.length === 0 ? {} : { logprobs };
    this.#held = true;
    send({ type: 'tokens', generation, from, tokens, text, ...likelihoods }, () => {
      this.#held = false;
      credit(used);
      this.flush();
    });
  }
}
