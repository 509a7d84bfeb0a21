import type { Host } from '#runtime/kernel/host.ts';

/**
 * Streams that outlive their client's connection, and with the help of agents their coordinator. A client that asked for it finds the events it missed under the stream's name: each
 * event carries a number, and whoever comes back with the last number it saw gets what follows, each event once.
 *
 *   open ──client leaves──▶ detached ──comes back──▶ open
 *     │                        └─ nobody came within `keepMs` ──▶ given up (its generation is cancelled)
 *     └──ended──▶ ended ──`keepMs` later──▶ forgotten
 */

const MOST_STREAMS = 10_000;
/** Agents come back within two seconds, as a rule. */
const AGENTS_BACK_MS = 10_000;
const MOST_BYTES = 8 * 1024 * 1024;

type Listener = { event(text: string): void; ended(): void };

export class KeptStream {
  readonly id: string;
  /** Who may read it. */
  readonly keyId: string;
  readonly keepMs: number;
  readonly #events: string[] = [];
  /** Each with the number of the last event that it has, which may be one that comes again only later. */
  readonly #listeners = new Map<Listener, number>();
  #bytes = 0;
  #over = false;
  /** Cancels the work behind it. */
  giveUp: () => void = () => {};
  onChange: () => void = () => {};

  constructor(id: string, keyId: string, keepMs: number) {
    this.id = id;
    this.keyId = keyId;
    this.keepMs = keepMs;
  }

  get over(): boolean {
    return this.#over;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Numbers the events, keeps them, and answers what goes over the wire. */
  append(events: string): string {
    const before = this.#events.length;
    const numbered = events
      .split('\n\n')
      .filter((event) => event !== '')
      .map((event) => {
        const text = `id: ${this.id}:${this.#events.length + 1}\n${event}\n\n`;
        this.#events.push(text);
        this.#bytes += text.length;
        return text;
      })
      .join('');
    for (const [listener, after] of this.#listeners) {
      const unseen = this.#events.slice(Math.max(after, before)).join('');
      if (unseen !== '') listener.event(unseen);
    }
    if (this.#bytes > MOST_BYTES) this.giveUp();
    return numbered;
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const listener of this.#listeners.keys()) listener.ended();
    this.#listeners.clear();
    this.onChange();
  }

  /** What follows event number `after`, now and as it comes. Answers how to stop listening. */
  listen(after: number, listener: Listener): () => void {
    const missed = this.#events.slice(after).join('');
    if (missed !== '') listener.event(missed);
    if (this.#over) {
      listener.ended();
      return () => {};
    }
    this.#listeners.set(listener, after);
    this.onChange();
    return () => {
      if (this.#listeners.delete(listener)) this.onChange();
    };
  }
}

export class KeptStreams {
  readonly #host: Host;
  /** Until then agents of an earlier coordinator may bring streams back. */
  readonly #agentsBackAt: number;
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #streams = new Map<string, { stream: KeptStream; timer: { cancel(): void } | null; connected: boolean }>();

  constructor(host: Host) {
    this.#host = host;
    this.#agentsBackAt = host.clock.now() + AGENTS_BACK_MS;
  }

  /** Null when there are too many already. */
  keep(id: string, keyId: string, keepMs: number): KeptStream | null {
    if (this.#streams.size >= MOST_STREAMS) return null;
    const stream = new KeptStream(id, keyId, keepMs);
    const entry = { stream, timer: null as { cancel(): void } | null, connected: true };
    this.#streams.set(id, entry);
    for (const found of this.#waiting.get(id) ?? []) found();
    stream.onChange = () => {
      entry.timer?.cancel();
      entry.timer = null;
      const needed = !stream.over && (entry.connected || stream.listeners > 0);
      if (!needed) entry.timer = this.#host.scheduler.after(keepMs, () => this.#forget(id));
    };
    return stream;
  }

  /** The connection that it began on is gone. */
  detached(id: string): void {
    const entry = this.#streams.get(id);
    if (entry === undefined) return;
    entry.connected = false;
    entry.stream.onChange();
  }

  /** Like `find`, but after a start it waits for agents that may still have the stream. */
  async awaited(id: string, keyId: string): Promise<KeptStream | null> {
    const left = this.#agentsBackAt - this.#host.clock.now();
    if (this.#streams.has(id) || left <= 0) return this.find(id, keyId);
    await new Promise<void>((resolve) => {
      const timer = this.#host.scheduler.after(left, done);
      const waiting = this.#waiting;
      waiting.set(id, [...(waiting.get(id) ?? []), done]);
      function done(): void {
        timer.cancel();
        waiting.delete(id);
        resolve();
      }
    });
    return this.find(id, keyId);
  }

  /** Null for strangers too. */
  find(id: string, keyId: string): KeptStream | null {
    const stream = this.#streams.get(id)?.stream;
    return stream !== undefined && stream.keyId === keyId ? stream : null;
  }

  close(): void {
    for (const { timer } of this.#streams.values()) timer?.cancel();
    this.#streams.clear();
    for (const found of [...this.#waiting.values()].flat()) found();
  }

  #forget(id: string): void {
    const entry = this.#streams.get(id);
    this.#streams.delete(id);
    if (entry !== undefined && !entry.stream.over) entry.stream.giveUp();
  }
}
