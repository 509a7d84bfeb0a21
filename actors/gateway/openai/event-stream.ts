import type { FastifyReply, FastifyRequest } from 'fastify';

import type { Host } from '#runtime/kernel/host.ts';

import { sendError } from './endpoint.ts';
import { SSE_KEEP_ALIVE, sseEvent } from './chunks.ts';
import type { OpenAiErrorReply } from './errors.ts';
import type { KeptStream } from './kept-streams.ts';

const KEEP_ALIVE_MS = 10_000;
/** What a client that does not read may leave in our memory. */
const MOST_UNREAD_BYTES = 16 * 1024 * 1024;

export interface EventStreamOptions {
  readonly host: Host;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly headers: Readonly<Record<string, string>>;
  /** Written once, before everything else. */
  readonly prologue: string;
  /** Called once when the client has left before the end. */
  readonly onLeft: () => void;
  /** Undefined: what was sent is not kept. */
  readonly kept: KeptStream | undefined;
  /** How a failure is told once the stream is open; as a bare `error` object unless given. */
  readonly failure?: (error: OpenAiErrorReply) => string;
}

/** A streamed answer on one HTTP response. Headers go out with the first word, so that a failure before it is still a proper HTTP error. */
export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #over = Promise.withResolvers<void>();
  #keepAlive: { cancel(): void };
  #open = false;
  #ended = false;
  #device: string | null = null;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    const { raw } = options.reply;
    this.#keepAlive = options.host.scheduler.after(KEEP_ALIVE_MS, () => this.#beat());
    raw.once('close', () => {
      this.#keepAlive.cancel();
      this.#over.resolve();
      if (!this.#ended) options.onLeft();
    });
  }

  /** Resolves when the response is over, however. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  set device(device: string) {
    this.#device ??= device;
  }

  /** Events, as they go over the wire. */
  write(events: string): void {
    if (events === '' || this.#ended) return;
    this.#start();
    this.#send(events);
    const { raw } = this.#options.reply;
    // Somebody who reads nothing may come back for it, if it is kept.
    if (raw.writableLength > MOST_UNREAD_BYTES) raw.destroy();
  }

  end(events: string): void {
    if (this.#ended) return;
    this.#start();
    this.#send(events);
    this.#finish();
  }

  fail(error: OpenAiErrorReply): void {
    if (this.#ended) return;
    if (this.#open) {
      // Too late for a status: clients know an `error` event, and a stream without [DONE] is never a success.
      this.#send(this.#options.failure?.(error) ?? sseEvent(error.body));
      return this.#finish();
    }
    this.#ended = true;
    this.#keepAlive.cancel();
    this.#options.kept?.end();
    if (!this.#options.reply.raw.destroyed) void sendError(this.#options.reply, error);
    this.#over.resolve();
  }

  #send(events: string): void {
    const { kept, reply } = this.#options;
    const text = kept === undefined ? events : kept.append(events);
    if (!reply.raw.destroyed) reply.raw.write(text);
  }

  #finish(): void {
    this.#ended = true;
    this.#keepAlive.cancel();
    this.#options.kept?.end();
    if (!this.#options.reply.raw.destroyed) this.#options.reply.raw.end();
    this.#over.resolve();
  }

  #beat(): void {
    if (this.#ended || this.#options.reply.raw.destroyed) return;
    this.#start();
    this.#options.reply.raw.write(SSE_KEEP_ALIVE);
    this.#keepAlive = this.#options.host.scheduler.after(KEEP_ALIVE_MS, () => this.#beat());
  }

  #start(): void {
    const { request, reply, headers, prologue } = this.#options;
    if (this.#open) return;
    this.#open = true;
    if (!reply.raw.destroyed) {
      reply.hijack();
      reply.raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
        'x-request-id': request.id,
        ...headers,
        ...(this.#device === null ? {} : { 'x-corpgrid-device': this.#device }),
      });
    }
    if (prologue !== '') this.#send(prologue);
  }
}
