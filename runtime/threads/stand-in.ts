import type { Worker } from 'node:worker_threads';

import type { Reply } from '#runtime/kernel/actor.ts';
import { ActorClosed, Refusal } from '#runtime/kernel/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';

import { type FromThread, type Letter, type ToThread, WINDOW } from './wire.ts';

const MOST_PER_BATCH = 128;

interface Question {
  readonly reply: Reply<unknown>;
  readonly message: string;
}

export interface StandInOptions {
  readonly host: Host;
  readonly protocol: Protocol;
  readonly path: string;
  readonly graceMs: number;
}

/** The thread ended without being told to. */
export class ThreadLost extends Error {
  override readonly name = 'ThreadLost';

  constructor(actor: string, exitCode: number) {
    super(`the thread of ${actor} ended by itself, with code ${exitCode}`);
  }
}

/**
 * The near end of an actor on a thread, for one incarnation.
 *
 * starting: the thread loads the actor; `up` settles when it runs.
 * up: letters go over, answers and the count of what waits there come back.
 * down: `fate` has settled, by the actor's own end, its crash, or the thread's; nothing goes over any more.
 * ended: the thread is gone; questions without an answer have been refused.
 */
export class StandIn {
  /** Settles when the actor there runs; rejects when it cannot. */
  readonly up: Promise<void>;
  /** Resolves when the actor there ended by itself, rejects with what it crashed with. */
  readonly fate: Promise<void>;
  readonly #worker: Worker;
  readonly #options: StandInOptions;
  readonly #exited: Promise<void>;
  readonly #questions = new Map<number, Question>();
  #letters: Letter[] = [];
  #flushing = false;
  #asked = 0;
  #sent = 0;
  /** Of those that were sent: on their way, or waiting there. */
  #outstanding = 0;
  #room: { readonly promise: Promise<void>; readonly resolve: () => void; readonly reject: (error: unknown) => void } | null = null;
  readonly #isUp: () => void;
  readonly #stopped: () => void;
  readonly #crashed: (error: unknown) => void;

  constructor(worker: Worker, options: StandInOptions) {
    this.#worker = worker;
    this.#options = options;
    const fate = Promise.withResolvers<void>();
    const up = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    this.fate = fate.promise;
    this.#isUp = up.resolve;
    this.#stopped = fate.resolve;
    this.#crashed = (error) => {
      fate.reject(error);
      this.#room?.reject(error);
    };
    this.up = Promise.race([up.promise, fate.promise]);
    this.#exited = exited.promise;
    worker.on('message', (message: FromThread) => {
      this.#receive(message);
    });
    worker.on('error', this.#crashed);
    worker.on('messageerror', this.#crashed);
    worker.once('exit', (code) => {
      this.#crashed(new ThreadLost(options.path, code));
      exited.resolve();
    });
  }

  /** A promise when the thread has enough to do for now: the next message waits for it. */
  tell(kind: number, payload: unknown): Promise<void> | undefined {
    this.#post([kind, 0, payload, 0]);
    return this.room();
  }

  ask(kind: number, payload: unknown, reply: Reply<unknown>): void {
    const question = ++this.#asked;
    this.#questions.set(question, { reply, message: this.#options.protocol.kinds[kind] ?? `#${kind}` });
    this.#post([kind, question, payload, reply.timeoutMs]);
  }

  /** Undefined while the thread takes more. */
  room(): Promise<void> | undefined {
    if (this.#outstanding < WINDOW) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** Has the thread end; settles when it is gone. */
  async end(): Promise<void> {
    this.#send({ type: 'stop' });
    const force = this.#options.host.scheduler.after(this.#options.graceMs, () => {
      void this.#worker.terminate();
    });
    await this.#exited;
    force.cancel();
    this.#letters = [];
    for (const { reply, message } of this.#questions.values()) reply.reject(new ActorClosed(this.#options.path, message));
    this.#questions.clear();
  }

  #post(letter: Letter): void {
    this.#outstanding++;
    this.#letters.push(letter);
    if (this.#letters.length >= MOST_PER_BATCH) this.#flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      this.#options.host.scheduler.yieldThen(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    const letters = this.#letters;
    if (letters.length === 0) return;
    this.#letters = [];
    if (this.#trySend(letters) === null) return;
    // One of them cannot be cloned: the others must not suffer.
    for (const letter of letters) {
      const error = this.#trySend([letter]);
      if (error === null) continue;
      this.#outstanding--;
      const question = this.#questions.get(letter[1]);
      if (question === undefined) this.#crashed(error);
      else {
        this.#questions.delete(letter[1]);
        question.reply.reject(error);
      }
    }
  }

  #trySend(letters: readonly Letter[]): unknown {
    try {
      this.#send({ type: 'letters', letters });
      this.#sent += letters.length;
      return null;
    } catch (error) {
      return error;
    }
  }

  #send(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message);
  }

  #receive(message: FromThread): void {
    if (message.type === 'up') this.#isUp();
    else if (message.type === 'down') {
      if (message.reason === 'stopped') this.#stopped();
      else this.#crashed(message.error);
    } else {
      this.#outstanding = this.#sent - message.received + message.waiting + this.#letters.length;
      for (const answer of message.answers) {
        const question = this.#questions.get(answer.question);
        this.#questions.delete(answer.question);
        if (answer.ok) question?.reply.resolve(answer.value);
        else question?.reply.reject(new Refusal(answer.refusal.code, answer.refusal.message, answer.refusal));
      }
      if (this.#room !== null && this.#outstanding < WINDOW) {
        this.#room.resolve();
        this.#room = null;
      }
    }
  }
}
