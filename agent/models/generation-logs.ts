import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';

/**
 * Answers that outlive the coordinator that asked for them.
 *
 *   attached ──its session is over──▶ detached ──reattached──▶ attached
 *      │                                 │
 *      ├─ended─┐       ┌──────────ended──┤
 *      │       ▼       ▼                 └─ nobody wants it for UNCLAIMED_MS ──▶ cancelled
 *      │         ended ──KEEP_MS──▶ forgotten
 *      └─ cancelled, or too long ──▶ forgotten
 *
 * What was sent is kept as it was sent, message by message, so that it can be repeated in the same pieces. While an answer is detached
 * it goes on into its log alone. A log that grows too long is forgotten; whoever is detached then has nobody left to compute for.
 */

type Tokens = Extract<FromAgent, { type: 'tokens' }>;
type Ended = Extract<FromAgent, { type: 'generationEnded' }>;

/** What all logs may take, and each of them: about a hundred thousand tokens, fewer with likelihoods. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_OF_ONE = 4 * 1024 * 1024;
/** An answer that is whole is kept for as long as a stream without a reader at most. */
export const KEEP_MS = 300_000;
/** A coordinator asks at once for what it wants. */
export const UNCLAIMED_MS = 60_000;
/** As many as a hello may name. */
const MOST_LOGS = 10_000;

export interface GenerationLogsOptions {
  readonly after: (ms: number, run: () => void) => { cancel(): void };
  /** `taken` is called when the link has the message. */
  readonly send: (message: FromAgent, taken?: () => void) => void;
}

export interface LoggedGeneration {
  readonly generation: string;
  readonly model: string;
  readonly request: GenerationRequest;
  readonly note: string;
  /** Ends the work. */
  readonly cancel: () => void;
}

interface Log extends LoggedGeneration {
  readonly messages: Tokens[];
  bytes: number;
  end: Ended | null;
  attached: boolean;
  /** The maker of the tokens waits for the link to take a message. */
  waiting: (() => void) | null;
  timer: { cancel(): void } | null;
}

export class GenerationLogs {
  readonly #options: GenerationLogsOptions;
  /** In the order in which they began. */
  readonly #logs = new Map<string, Log>();
  #bytes = 0;

  constructor(options: GenerationLogsOptions) {
    this.#options = options;
  }

  /** Answers that could be repeated. */
  ids(): string[] {
    return [...this.#logs.keys()];
  }

  has(generation: string): boolean {
    return this.#logs.has(generation);
  }

  open(logged: LoggedGeneration): void {
    if (this.#logs.size >= MOST_LOGS) this.#makeRoom();
    if (this.#logs.size >= MOST_LOGS) return;
    this.#logs.set(logged.generation, { ...logged, messages: [], bytes: 0, end: null, attached: true, waiting: null, timer: null });
  }

  /** Tokens of any generation, on their way to whoever wants them. One without a log is sent and forgotten. */
  tokens(message: Tokens, taken: () => void): void {
    const log = this.#logs.get(message.generation);
    if (log === undefined) return this.#options.send(message, taken);
    const bytes = sizeOf(message);
    log.messages.push(message);
    log.bytes += bytes;
    this.#bytes += bytes;
    const { attached } = log;
    if (log.bytes > MOST_OF_ONE) this.#abandon(log);
    while (this.#bytes > MOST_BYTES) this.#makeRoom();
    if (!attached) return taken();
    const once = (): void => {
      if (log.waiting !== once) return;
      log.waiting = null;
      taken();
    };
    log.waiting = once;
    this.#options.send(message, once);
  }

  /** The last message of any generation. */
  ended(message: Ended): void {
    const log = this.#logs.get(message.generation);
    if (log === undefined) return this.#options.send(message);
    log.end = message;
    log.timer?.cancel();
    log.timer = this.#options.after(KEEP_MS, () => this.forget(message.generation));
    if (!log.attached) return;
    this.#options.send(message);
    // It goes on elsewhere, or is wanted by nobody.
    if (message.outcome === 'failed' || message.outcome === 'cancelled') this.forget(message.generation);
  }

  /** The session is over: nobody hears of them until somebody asks. */
  detach(): void {
    for (const log of this.#logs.values()) {
      log.attached = false;
      log.waiting?.();
      if (log.end === null) log.timer ??= this.#options.after(UNCLAIMED_MS, () => this.#abandon(log));
    }
  }

  /** Repeats all of it to a coordinator that asked for it, and goes on; says so when there is nothing to repeat. */
  reattach(generation: string): void {
    const log = this.#logs.get(generation);
    const { send } = this.#options;
    if (log === undefined) {
      const reason = 'this agent keeps no log of it';
      const counts = { promptTokens: 0, completionTokens: 0 };
      return send({ type: 'generationEnded', generation, outcome: 'failed', code: 'NOT_READY', reason, ...counts, retryable: true });
    }
    log.attached = true;
    const { model, request, note, messages, end } = log;
    send({ type: 'reattached', generation, model, request, note });
    for (const message of messages) send(message);
    if (end !== null) return send(end);
    log.timer?.cancel();
    log.timer = null;
  }

  forget(generation: string): void {
    const log = this.#logs.get(generation);
    if (log === undefined) return;
    log.timer?.cancel();
    this.#bytes -= log.bytes;
    this.#logs.delete(generation);
  }

  /** Nobody could take it up any more. */
  #abandon(log: Log): void {
    this.forget(log.generation);
    if (!log.attached && log.end === null) log.cancel();
  }

  /** Forgets one: of those that are whole the oldest, else the oldest. */
  #makeRoom(): void {
    const all = [...this.#logs.values()];
    const oldest = all.find(({ end }) => end !== null) ?? all[0];
    if (oldest !== undefined) this.#abandon(oldest);
  }
}

/** About what a message takes in memory. */
function sizeOf({ tokens, text, logprobs = [] }: Tokens): number {
  return 200 + tokens.length * 8 + text.length * 2 + logprobs.reduce((sum, { top }) => sum + 200 * (1 + top.length), 0);
}
