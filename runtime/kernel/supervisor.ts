import type { AnyChildSpec, Strategy, SupervisionOptions } from '#runtime/kernel/actor.ts';
import { backoffMs, type BackoffOptions } from '#runtime/kernel/backoff.ts';
import type { Cell } from '#runtime/kernel/cell.ts';
import type { CrashOutcome } from '#runtime/kernel/crash-report.ts';
import { Delay } from '#runtime/kernel/delay.ts';
import { RestartWindow } from '#runtime/kernel/restart-window.ts';

const DEFAULT_INTENSITY = 5;
const DEFAULT_PERIOD_MS = 10_000;
const DEFAULT_BACKOFF: BackoffOptions = { minMs: 50, maxMs: 5_000, jitter: 0.2 };

/** What is to become of a child that failed. */
export interface Verdict {
  readonly outcome: CrashOutcome;
  readonly restartsInPeriod: number;
  readonly delayMs?: number;
}

/** Children on their way to a restart: halted in reverse start order, after a pause started again in start order. */
interface RestartPlan {
  readonly members: readonly Cell[];
  cancelled: boolean;
  wake: (() => void) | null;
}

/** The supervisor's own failure, when its children fail more often than it may restart them. */
export class RestartLimitReached extends Error {
  override readonly name = 'RestartLimitReached';

  constructor(path: string, restarts: number, cause: unknown) {
    super(`${path} gave up: ${restarts} restarts of its children are more than its limit allows`, { cause });
  }
}

/**
 * Looks after the children of one actor, by the rules of OTP's `supervisor`.
 *
 * - A permanent child is started again whenever it ends, a transient one when it crashed, a temporary one never.
 * - one-for-one restarts the child that failed, one-for-all all children, rest-for-one it and those started after it. Temporary
 *   siblings in the group are stopped and not started again. Nobody's place in the start order changes.
 * - Each failure that leads to a restart counts once. More than `intensity` of them within `periodMs`, and the owner crashes.
 *
 * Unlike OTP: a restart waits for a jittered backoff, and a supervisor that gives up has crashed, so a transient one is restarted.
 * A failure during a restart begins a new plan, which takes over what the old one had still to do: its group is never smaller.
 */
export class Supervisor {
  readonly #owner: Cell;
  readonly #strategy: Strategy;
  readonly #periodMs: number;
  readonly #backoff: BackoffOptions;
  readonly #window: RestartWindow;
  /** The children are a list through themselves, in start order. */
  #first: Cell | null = null;
  #last: Cell | null = null;
  /** Those that have a name. */
  readonly #named = new Map<string, Cell>();
  #serial = 0;
  readonly #streaks = new Map<Cell, { attempt: number; at: number }>();
  readonly #plans = new Set<RestartPlan>();

  constructor(owner: Cell) {
    const options: SupervisionOptions = owner.spec.actor.supervise ?? {};
    this.#owner = owner;
    this.#strategy = options.strategy ?? 'one-for-one';
    this.#periodMs = options.periodMs ?? DEFAULT_PERIOD_MS;
    this.#backoff = options.backoff ?? DEFAULT_BACKOFF;
    this.#window = new RestartWindow(options.intensity ?? DEFAULT_INTENSITY, this.#periodMs);
  }

  get isEmpty(): boolean {
    return this.#first === null;
  }

  /** In start order. */
  *all(): Generator<Cell, void> {
    for (let cell = this.#first; cell !== null; cell = cell.younger) yield cell;
  }

  get(id: string): Cell | undefined {
    return this.#named.get(id);
  }

  /** A name for a child that was given none. */
  nextName(): string {
    return `$${++this.#serial}`;
  }

  spawn(spec: AnyChildSpec): Cell {
    const { id } = spec;
    if (id === undefined) return this.#append(this.#owner.kernel.hatch(this.#owner, spec));
    if (id === '' || id.startsWith('$') || id.includes('/')) throw new Error(`${this.#owner.path} cannot have a child named '${id}'`);
    if (this.#named.has(id)) throw new Error(`${this.#owner.path} has a child named '${id}' already`);
    const cell = this.#append(this.#owner.kernel.hatch(this.#owner, spec));
    this.#named.set(id, cell);
    return cell;
  }

  /** For a child that has ended for good. */
  remove(cell: Cell): void {
    if (cell.older === null) this.#first = cell.younger;
    else cell.older.younger = cell.younger;
    if (cell.younger === null) this.#last = cell.older;
    else cell.younger.older = cell.older;
    cell.older = null;
    cell.younger = null;
    if (cell.spec.id !== undefined) this.#named.delete(cell.spec.id);
    if (this.#streaks.size > 0) this.#streaks.delete(cell);
  }

  /** Decides about a child that crashed, or about a permanent one that ended by itself. A restart is counted here. */
  judge(cell: Cell, crashed: boolean): Verdict {
    if (!this.#owner.isSupervising || cell.spec.restart === 'temporary' || (cell.spec.restart === 'transient' && !crashed)) {
      return { outcome: 'stop', restartsInPeriod: this.#window.count };
    }
    const now = this.#owner.kernel.host.clock.now();
    if (!this.#window.admits(now)) return { outcome: 'escalate', restartsInPeriod: this.#window.count };
    const delayMs = backoffMs(this.#attempt(cell, now), this.#backoff, () => this.#owner.kernel.host.random());
    return { outcome: 'restart', restartsInPeriod: this.#window.count, delayMs };
  }

  carryOut(cell: Cell, verdict: Verdict, failure: { readonly error: unknown } | undefined): void {
    if (verdict.outcome === 'restart') {
      const plan: RestartPlan = { members: this.#groupOf(cell), cancelled: false, wake: null };
      for (const other of this.#plans) if (other.members.some((member) => plan.members.includes(member))) cancel(other);
      this.#plans.add(plan);
      void this.#restart(plan, cell, verdict.delayMs ?? 0).then(() => this.#plans.delete(plan));
      return;
    }
    void cell.stop(failure === undefined ? { reason: 'stopped' } : { reason: 'crashed', error: failure.error });
    if (verdict.outcome === 'escalate') {
      this.#owner.escalate(new RestartLimitReached(this.#owner.path, verdict.restartsInPeriod, failure?.error));
    }
  }

  /** Ends all children for good, the last started first, one after the other. */
  async stopAll(): Promise<void> {
    for (const plan of this.#plans) cancel(plan);
    for (const cell of [...this.all()].toReversed()) await cell.stop({ reason: 'shutdown' });
  }

  async #restart(plan: RestartPlan, failed: Cell, delayMs: number): Promise<void> {
    await failed.halt();
    for (const cell of plan.members.toReversed()) {
      if (plan.cancelled) return;
      if (cell.spec.restart === 'temporary') await cell.stop({ reason: 'shutdown' });
      else await cell.halt();
    }
    if (plan.cancelled) return;
    for (const cell of plan.members) if (cell.phase === 'waiting') cell.restartsIn(delayMs);
    await this.#pause(plan, delayMs);
    for (const cell of plan.members) {
      if (plan.cancelled) return;
      if (cell.phase === 'waiting') await cell.restart();
    }
  }

  #append(cell: Cell): Cell {
    cell.older = this.#last;
    if (this.#last === null) this.#first = cell;
    else this.#last.younger = cell;
    this.#last = cell;
    return cell;
  }

  #pause(plan: RestartPlan, ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const delay = new Delay(this.#owner.kernel.wheel, ms, resolve);
      plan.wake = () => {
        delay.cancel();
        resolve();
      };
    });
  }

  #groupOf(cell: Cell): readonly Cell[] {
    if (this.#strategy === 'one-for-one') return [cell];
    const all = [...this.all()];
    return this.#strategy === 'one-for-all' ? all : all.slice(all.indexOf(cell));
  }

  /** How often in a row, with less than a period between two failures, this child has failed. */
  #attempt(cell: Cell, now: number): number {
    const streak = this.#streaks.get(cell);
    const attempt = streak === undefined || now - streak.at > this.#periodMs ? 1 : streak.attempt + 1;
    this.#streaks.set(cell, { attempt, at: now });
    return attempt;
  }
}

function cancel(plan: RestartPlan): void {
  plan.cancelled = true;
  plan.wake?.();
}
