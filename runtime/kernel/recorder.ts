import type { HandlerTable } from '#runtime/kernel/handler-table.ts';
import type { Clock } from '#runtime/kernel/host.ts';

/** A message that an actor handled while it was looked at. Without its payload, which may be large or secret. */
export interface RecordedMessage {
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

const KEPT = 32;

/** The last 32 messages of an actor that somebody looks at. */
export class Recorder {
  readonly #clock: Clock;
  readonly #ring: RecordedMessage[] = [];
  #total = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  private note(message: string): void {
    this.#ring[this.#total++ % KEPT] = { message, at: this.#clock.wall() };
  }

  /** The handlers, each of which is noted before it is called. */
  around(handlers: HandlerTable, receiver: unknown, kinds: readonly string[]): HandlerTable {
    return handlers.map((handler, kind) => (payload) => {
      this.note(kinds[kind] ?? `#${kind}`);
      return handler.call(receiver, payload);
    });
  }

  /** The oldest first. */
  get messages(): readonly RecordedMessage[] {
    const start = this.#total <= KEPT ? 0 : this.#total % KEPT;
    return [...this.#ring.slice(start), ...this.#ring.slice(0, start)];
  }
}
