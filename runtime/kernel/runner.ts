import type { Activity } from '#runtime/kernel/crash-report.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import type { Kernel } from '#runtime/kernel/kernel.ts';
import { Mailbox, NONE } from '#runtime/kernel/mailbox.ts';
import type { PendingAsk } from '#runtime/kernel/pending-ask.ts';
import type { Admission } from '#runtime/kernel/ref.ts';

/** Messages handled per turn. */
const BATCH = 64;

/** It stands in the run queue. */
const SCHEDULED = 1;
/** It takes nothing: its code has not settled yet, or there is no incarnation. */
const BUSY = 2;
/** It admits nothing any more. */
const CLOSED = 4;
/** There is something to do that goes before the messages. */
const SYSTEM = 8;
/** System: begin a new incarnation. */
const BEGIN = 16;
/** System: end the incarnation. */
const HALT = 32;

/** Something that runs in an actor's turn, before its messages: a timer's callback, a termination, a settled promise. */
export interface Turn {
  readonly activity: Activity;
  run(): unknown;
}

type AnyHandler = (payload: unknown) => unknown;

/** The handlers in the order of the protocol's kinds. */
export type HandlerTable = readonly AnyHandler[];

const NO_HANDLERS: HandlerTable = [];

/**
 * The half of an actor that takes turns: it admits messages, hands them to the handlers one at a time, and gives way.
 *
 * Two lanes. The system lane (begin, halt, then callbacks in order) goes before the messages and is looked at between any two of them.
 * When a handler or a callback answers a promise the runner is busy until that settles, if it still belongs to the incarnation then;
 * both lanes queue meanwhile. What the other half (`Cell`) does with beginnings, failures and ends comes in through the abstract methods.
 *
 * This is the hot path: a tell costs no allocation, no clock, and one `try` per turn.
 */
export abstract class Runner extends Mailbox {
  readonly kernel: Kernel;
  admitted = 0;
  handled = 0;
  protected handlers: HandlerTable = NO_HANDLERS;
  protected activity: Activity = 'start';
  /** Its code is on the stack. */
  protected running = false;
  private flags = 0;
  private lane: Turn[] | null = null;
  /** Counts the incarnations, so that what an old one left behind is recognised. */
  private era = 0;

  constructor(kernel: Kernel, capacity: number) {
    super(capacity);
    this.kernel = kernel;
  }

  /** Calls the actor's `start`; answers its handlers, or a promise of them. */
  protected abstract begin(): unknown;
  protected abstract began(handlers: unknown): void;
  /** The time to end has come: nothing is in hand. */
  protected abstract halted(): void;
  /** Its code threw, and it was no refusal to an ask. */
  protected abstract crashed(error: unknown): void;
  protected abstract refuse(code: number, body: unknown, reason: 'full' | 'closed'): void;

  /** Waits for its own code to settle. */
  protected get isSuspended(): boolean {
    return (this.flags & BUSY) !== 0;
  }

  protected get isHalting(): boolean {
    return (this.flags & HALT) !== 0;
  }

  /** Puts a message into the mailbox; see `Mailbox` for what it is made of. */
  tell(code: number, body: unknown): Admission {
    if (this.flags === 0) {
      this.slotCode = code;
      this.slotBody = body;
      this.admitted++;
      this.flags = SCHEDULED;
      this.kernel.dispatcher.ready(this);
      return 'accepted';
    }
    return this.enqueue(code, body);
  }

  /** Runs it in this actor's turn, before the messages. Dropped when the incarnation ends first. */
  post(turn: Turn): void {
    if (this.lane === null) this.lane = [turn];
    else this.lane.push(turn);
    this.demand(0);
  }

  run(): void {
    if ((this.flags & BUSY) !== 0) {
      this.flags &= ~SCHEDULED;
      return;
    }
    this.running = true;
    let left = BATCH;
    try {
      for (;;) {
        if ((this.flags & SYSTEM) !== 0 && !this.runSystemLane()) return;
        if (!this.take()) break;
        const code = this.code;
        if (code < 0) {
          if (!this.answer(~code, this.body as PendingAsk)) return;
        } else {
          const handler = this.handlers[code] as AnyHandler;
          const result = handler(this.body);
          if (result !== undefined && isThenable(result)) {
            this.suspend(result);
            return;
          }
        }
        this.handled++;
        if (--left === 0) break;
      }
    } catch (error) {
      this.endTurn();
      this.threw(error);
      return;
    }
    this.running = false;
    this.letGo();
    if (left === 0 && (this.depth > 0 || (this.flags & SYSTEM) !== 0)) this.kernel.dispatcher.ready(this);
    else this.flags &= ~SCHEDULED;
  }

  /** Begins an incarnation in the next turn. */
  protected beginNext(): void {
    this.flags &= ~BUSY;
    this.demand(BEGIN);
  }

  /** Calls `halted` as soon as nothing is in hand: in the next turn, or after the handler in hand. */
  protected haltNext(): void {
    this.demand(HALT);
  }

  /** Ends the incarnation: what it left in the system lane is dropped, what it left unsettled is ignored. Messages keep queueing. */
  protected disconnect(): void {
    this.era++;
    this.lane = null;
    this.letGo();
    this.handlers = NO_HANDLERS;
    this.flags = (this.flags & (SCHEDULED | CLOSED)) | BUSY;
  }

  protected close(): void {
    this.flags |= CLOSED;
  }

  private enqueue(code: number, body: unknown): Admission {
    if ((this.flags & CLOSED) !== 0) {
      this.refuse(code, body, 'closed');
      return 'closed';
    }
    if (!this.push(code, body)) {
      this.refuse(code, body, 'full');
      return 'full';
    }
    this.admitted++;
    return 'accepted';
  }

  /** Handles an ask; answers whether it has settled. */
  private answer(kind: number, pending: PendingAsk): boolean {
    const handler = this.handlers[kind] as AnyHandler;
    const result = handler(pending.payload);
    if (isThenable(result)) {
      this.suspend(result);
      return false;
    }
    pending.resolve(result);
    return true;
  }

  private demand(what: number): void {
    this.flags |= SYSTEM | what;
    this.schedule();
  }

  private schedule(): void {
    if ((this.flags & (SCHEDULED | BUSY)) !== 0) return;
    this.flags |= SCHEDULED;
    this.kernel.dispatcher.ready(this);
  }

  /** Answers whether the turn goes on. */
  private runSystemLane(): boolean {
    this.letGo();
    if (!this.isHalting && (this.flags & BEGIN) !== 0) {
      this.flags &= ~BEGIN;
      this.activity = 'start';
      const handlers = this.begin();
      if (isThenable(handlers)) {
        this.suspend(handlers);
        return false;
      }
      this.began(handlers);
    }
    if (this.lane !== null && !this.runTurns(this.lane)) return false;
    if (this.isHalting) {
      this.endTurn();
      this.halted();
      return false;
    }
    this.activity = 'message';
    if (this.lane === null) this.flags &= ~SYSTEM;
    return true;
  }

  /** Answers whether all that were waiting have run to their end. */
  private runTurns(turns: readonly Turn[]): boolean {
    this.lane = null;
    let started = 0;
    for (const turn of turns) {
      if (this.isHalting) break;
      started++;
      this.activity = turn.activity;
      const result = turn.run();
      if (isThenable(result)) {
        const rest = turns.slice(started);
        if (rest.length > 0) this.lane = this.lane === null ? rest : rest.concat(this.lane);
        this.suspend(result);
        return false;
      }
    }
    return true;
  }

  /** The turn is over without anything left in the run queue. */
  private endTurn(): void {
    this.running = false;
    this.flags &= ~SCHEDULED;
  }

  private suspend(promise: PromiseLike<unknown>): void {
    this.endTurn();
    this.flags |= BUSY;
    const era = this.era;
    Promise.resolve(promise).then(
      (value) => {
        if (this.era === era) this.settled(value);
      },
      (error: unknown) => {
        if (this.era === era) this.threw(error);
      },
    );
  }

  private settled(value: unknown): void {
    if (this.code !== NONE) {
      if (this.code < 0) (this.body as PendingAsk).resolve(value);
      this.doneWithMessage();
    } else if (this.activity === 'start') {
      try {
        this.began(value);
      } catch (error) {
        this.threw(error);
        return;
      }
    }
    this.goOn();
  }

  private threw(error: unknown): void {
    if (this.code < 0 && Refusal.is(error)) {
      (this.body as PendingAsk).reject(error);
      this.doneWithMessage();
      this.goOn();
    } else this.crashed(error);
  }

  private doneWithMessage(): void {
    this.handled++;
    this.letGo();
  }

  private goOn(): void {
    this.flags &= ~BUSY;
    if (this.depth > 0 || (this.flags & SYSTEM) !== 0) this.schedule();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
