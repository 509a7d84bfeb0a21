import type { Activity } from '#runtime/kernel/crash-report.ts';
import type { Dispatcher, Runnable } from '#runtime/kernel/dispatcher.ts';
import { Refusal, SetAside } from '#runtime/kernel/errors.ts';
import type { AnyHandler, HandlerTable } from '#runtime/kernel/handler-table.ts';
import type { Kernel } from '#runtime/kernel/kernel.ts';
import { Mailbox, NONE } from '#runtime/kernel/mailbox.ts';
import type { PendingAsk } from '#runtime/kernel/pending-ask.ts';
import type { Admission } from '#runtime/kernel/ref.ts';

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
/** What stands in the slot is in hand. */
const IN_HAND = 64;
/** Its code is on the stack, and it is not a message's handler. */
const IN_LANE = 128;

/** Something that runs in an actor's turn, before its messages: a timer's callback, a termination, a settled promise. */
export interface Turn {
  readonly activity: Activity;
  run(): unknown;
}

/** Stands for one incarnation: what is left of an old one is recognised by it. */
export interface Life {
  /** What its code is doing, when it is not handling a message. */
  activity: Activity;
}

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
export abstract class Runner extends Mailbox implements Runnable {
  readonly kernel: Kernel;
  readonly dispatcher: Dispatcher;
  nextReady: Runnable | null = null;
  admitted = 0;
  handled = 0;
  protected handlers: HandlerTable = NO_HANDLERS;
  /** What the handlers are methods of, if they are. */
  protected receiver: unknown = undefined;
  private flags = 0;
  private lane: Turn[] | null = null;

  constructor(kernel: Kernel) {
    super();
    this.kernel = kernel;
    this.dispatcher = kernel.dispatcher;
  }

  /** The incarnation there is. */
  protected abstract get life(): Life | null;
  /** Calls the actor's `start`; answers its handlers, or a promise of them. */
  protected abstract begin(): unknown;
  protected abstract began(handlers: unknown): void;
  /** The time to end has come: nothing is in hand. */
  protected abstract halted(): void;
  /** Its code threw, and it was no refusal to an ask. */
  protected abstract crashed(error: unknown, activity: Activity): void;
  /** Keeps the message until it is put back. */
  protected abstract setAside(code: number, body: unknown): void;
  protected abstract refuse(code: number, body: unknown, reason: 'full' | 'closed'): void;

  /** Its own code is on the stack. */
  protected get isRunning(): boolean {
    return (this.flags & (IN_HAND | IN_LANE)) !== 0 && (this.flags & BUSY) === 0;
  }

  /** Waits for its own code to settle. */
  protected get isSuspended(): boolean {
    return (this.flags & BUSY) !== 0;
  }

  protected get isHalting(): boolean {
    return (this.flags & HALT) !== 0;
  }

  protected override get isInHand(): boolean {
    return (this.flags & IN_HAND) !== 0;
  }

  /** The ask in hand, if what is in hand is one. */
  get askInHand(): PendingAsk | null {
    return this.isInHand && this.slotCode < 0 ? (this.slotBody as PendingAsk) : null;
  }

  /** The code of the message in hand, or `NONE`. */
  protected get codeInHand(): number {
    return (this.flags & IN_HAND) === 0 ? NONE : this.slotCode;
  }

  /** Puts a message into the mailbox; see `Mailbox` for what it is made of. */
  tell(code: number, body: unknown): Admission {
    if (this.flags === 0) {
      // Idle: the mailbox is empty.
      this.slotCode = code;
      this.slotBody = body;
      this.admitted++;
      this.flags = SCHEDULED;
      this.dispatcher.ready(this);
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

  run(most: number): number {
    if ((this.flags & BUSY) !== 0) {
      this.flags &= ~SCHEDULED;
      return 1;
    }
    let left = most;
    let code = NONE;
    try {
      if ((this.flags & SYSTEM) !== 0 && !this.runSystemLane()) return 1;
      this.flags |= IN_HAND;
      while (this.take()) {
        code = this.slotCode;
        if (code < 0) {
          if (!this.answer(~code, this.slotBody as PendingAsk)) return most - left + 1;
        } else {
          const handler = this.handlers[code] as AnyHandler;
          // V8 learns the target of a plain call, and inlines it when there is but one.
          const result = this.receiver === undefined ? handler(this.slotBody) : handler.call(this.receiver, this.slotBody);
          if (result !== undefined && isThenable(result)) {
            this.suspend(result);
            return most - left + 1;
          }
        }
        this.slotCode = NONE;
        this.slotBody = undefined;
        this.handled++;
        if (--left === 0) break;
        if ((this.flags & SYSTEM) !== 0) {
          this.flags &= ~IN_HAND;
          if (!this.runSystemLane()) return most - left;
          this.flags |= IN_HAND;
        }
      }
    } catch (error) {
      this.flags &= ~SCHEDULED;
      this.threw(error);
      return most - left + 1;
    }
    if (left === most - 1) this.kernel.latest.code = code;
    if (left === 0 || (this.flags & SYSTEM) !== 0) this.endTurn();
    else this.flags &= ~(SCHEDULED | IN_HAND);
    return left === most ? 1 : most - left;
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
    this.lane = null;
    if (this.isInHand) this.letGo();
    this.handlers = NO_HANDLERS;
    this.receiver = undefined;
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
    const result = handler.call(this.receiver, pending.payload);
    if (isThenable(result)) {
      this.suspend(result);
      return false;
    }
    pending.resolve(result);
    return true;
  }

  /** It has had as much as it may have now: it stands in line again if there is more. */
  private endTurn(): void {
    this.flags &= ~(SCHEDULED | IN_HAND);
    if (this.depth > 0 || (this.flags & SYSTEM) !== 0) this.schedule();
  }

  private demand(what: number): void {
    this.flags |= SYSTEM | what;
    this.schedule();
  }

  private schedule(): void {
    if ((this.flags & (SCHEDULED | BUSY)) !== 0) return;
    this.flags |= SCHEDULED;
    this.dispatcher.ready(this);
  }

  /** Answers whether the turn goes on. */
  private runSystemLane(): boolean {
    this.kernel.latest.code = NONE;
    this.flags |= IN_LANE;
    if ((this.flags & (HALT | BEGIN)) === BEGIN) {
      this.flags &= ~BEGIN;
      const handlers = this.begin();
      if (isThenable(handlers)) {
        this.suspend(handlers);
        return false;
      }
      this.began(handlers);
    }
    if (this.lane !== null && !this.runTurns(this.lane)) return false;
    this.flags &= ~IN_LANE;
    if (this.isHalting) {
      this.flags &= ~SCHEDULED;
      this.halted();
      return false;
    }
    if (this.lane === null) this.flags &= ~SYSTEM;
    return true;
  }

  /** Answers whether all that were waiting have run to their end. */
  private runTurns(turns: readonly Turn[]): boolean {
    const { life } = this;
    this.lane = null;
    let started = 0;
    for (const turn of turns) {
      if (this.isHalting) break;
      started++;
      if (life !== null) life.activity = turn.activity;
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

  private suspend(promise: PromiseLike<unknown>): void {
    this.flags = (this.flags & ~SCHEDULED) | BUSY;
    const { life } = this;
    Promise.resolve(promise).then(
      (value) => {
        if (this.life === life) this.settled(value);
      },
      (error: unknown) => {
        if (this.life === life) this.threw(error);
      },
    );
  }

  private settled(value: unknown): void {
    if (this.isInHand) {
      if (this.slotCode < 0) (this.slotBody as PendingAsk).resolve(value);
      this.doneWithMessage();
    } else if (this.life?.activity === 'start') {
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
    if (error === SetAside.now && this.isInHand) {
      this.setAside(this.slotCode, this.slotBody);
      this.letGo();
      this.goOn();
      return;
    }
    if (this.isInHand && this.slotCode < 0 && Refusal.is(error)) {
      (this.slotBody as PendingAsk).reject(error);
      this.doneWithMessage();
      this.goOn();
    } else this.crashed(error, this.isInHand ? 'message' : (this.life?.activity ?? 'start'));
  }

  private doneWithMessage(): void {
    this.handled++;
    this.letGo();
  }

  private goOn(): void {
    this.flags &= ~(BUSY | IN_HAND | IN_LANE);
    if (this.depth > 0 || (this.flags & SYSTEM) !== 0) this.schedule();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
