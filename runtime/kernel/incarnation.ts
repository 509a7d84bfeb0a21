import { ActorTimer } from '#runtime/kernel/actor-timer.ts';
import type { ChildSpec, Reply, Settled, Termination, Timer } from '#runtime/kernel/actor.ts';
import type { Cell } from '#runtime/kernel/cell.ts';
import type { Activity } from '#runtime/kernel/crash-report.ts';
import { ActorClosed, LinkedCrash } from '#runtime/kernel/errors.ts';
import type { Clock } from '#runtime/kernel/host.ts';
import { IdleWatch } from '#runtime/kernel/idle-watch.ts';
import { LATER } from '#runtime/kernel/pending-ask.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import { ActorRef, type AnyRef, type Ref } from '#runtime/kernel/ref.ts';
import type { Life } from '#runtime/kernel/runner.ts';
import { Watch } from '#runtime/kernel/watch.ts';

/** What must end with an incarnation. */
interface Ties {
  readonly timers: Set<ActorTimer>;
  readonly watches: Set<Watch>;
  readonly links: Set<Incarnation>;
  readonly cleanups: Cleanup[];
}

export type Cleanup = () => void | Promise<void>;

const NO_CLEANUPS: readonly Cleanup[] = [];

/**
 * One life of an actor, from `start` to the next crash or end: the `Context` that its code sees, and all that must go with it.
 * After its end it is inert: code of an old incarnation that runs on can neither spawn nor be called back.
 */
export class Incarnation implements Life {
  activity: Activity = 'start';
  readonly #cell: Cell;
  #ties: Ties | null = null;

  constructor(cell: Cell) {
    this.#cell = cell;
  }

  private get isLive(): boolean {
    return this.#cell.isCurrent(this);
  }

  private get ties(): Ties {
    return (this.#ties ??= { timers: new Set(), watches: new Set(), links: new Set(), cleanups: [] });
  }

  get self(): AnyRef {
    return this.#cell.ref;
  }

  get path(): string {
    return this.#cell.path;
  }

  get clock(): Clock {
    return this.#cell.kernel.host.clock;
  }

  random(): number {
    return this.#cell.kernel.host.random();
  }

  spawn<P2 extends Protocol, A2>(child: ChildSpec<P2, A2>): Ref<P2> {
    if (!this.isLive) throw new ActorClosed(this.path, 'spawn');
    // The ref was made by the protocol of the spec.
    return this.#cell.children.spawn(child).ref as Ref<P2>;
  }

  child(id: string): AnyRef | undefined {
    return this.isLive ? this.#cell.children.get(id)?.ref : undefined;
  }

  async stopChild(id: string): Promise<void> {
    if (this.isLive) await this.#cell.children.get(id)?.stop({ reason: 'shutdown' });
  }

  stop(): void {
    if (this.isLive) this.#cell.leave();
  }

  watch(ref: AnyRef, onTerminated: (termination: Termination) => void): () => void {
    if (!this.isLive) return () => undefined;
    const watch: Watch = new Watch(ActorRef.cellOf(ref), (termination) => {
      this.#cell.post({
        activity: 'watch',
        run: () => (this.#ties?.watches.delete(watch) === true ? onTerminated(termination) : undefined),
      });
    });
    this.ties.watches.add(watch);
    watch.begin();
    return () => {
      watch.end();
      this.#ties?.watches.delete(watch);
    };
  }

  stash(): never {
    if (!this.isLive) throw new ActorClosed(this.path, 'stash');
    return this.#cell.stash();
  }

  unstash(): void {
    if (this.isLive) this.#cell.unstash();
  }

  answerLater<R>(begin: (reply: Reply<R>) => void): R {
    const { askInHand } = this.#cell;
    if (!this.isLive || askInHand === null) throw new TypeError(`${this.path}: only the handler of an ask can answer later`);
    begin(askInHand);
    // Nobody sees it: the ask knows it.
    return LATER as R;
  }

  link(ref: AnyRef): () => void {
    if (!this.isLive) return () => undefined;
    const cell = ActorRef.cellOf(ref);
    const other = cell.lifeOrNext;
    if (other === null) {
      this.takeAlong(cell.path, cell.lastError);
      return () => undefined;
    }
    this.ties.links.add(other);
    other.ties.links.add(this);
    return () => {
      this.#ties?.links.delete(other);
      other.#ties?.links.delete(this);
    };
  }

  whenIdle(ms: number, callback: () => void | Promise<void>): Timer {
    return new IdleWatch(this, this.#cell, ms, callback);
  }

  showState(snapshot: () => unknown): void {
    if (this.isLive) this.#cell.stateShownBy(snapshot);
  }

  after(ms: number, callback: () => void | Promise<void>): Timer {
    return this.#arm(new ActorTimer(this.#cell, callback, { ms, repeats: false, forget: (timer) => this.#ties?.timers.delete(timer) }));
  }

  every(ms: number, callback: () => void | Promise<void>): Timer {
    return this.#arm(new ActorTimer(this.#cell, callback, { ms, repeats: true, forget: (timer) => this.#ties?.timers.delete(timer) }));
  }

  pipe<T>(work: Promise<T>, settled: (result: Settled<T>) => void | Promise<void>): void {
    const settle = (result: Settled<T>): void => {
      if (this.isLive) this.#cell.post({ activity: 'pipe', run: () => settled(result) });
    };
    work.then(
      (value) => {
        settle({ ok: true, value });
      },
      (error: unknown) => {
        settle({ ok: false, error });
      },
    );
  }

  onStop(cleanup: Cleanup): void {
    if (!this.isLive) throw new ActorClosed(this.path, 'onStop');
    this.ties.cleanups.push(cleanup);
  }

  /** For the cell, which has let go of it: nothing calls back any more. */
  end(): void {
    if (this.#ties === null) return;
    for (const timer of this.#ties.timers) timer.cancel();
    for (const watch of this.#ties.watches) watch.end();
    this.#ties.watches.clear();
    for (const other of this.#ties.links) other.#ties?.links.delete(this);
    this.#ties.links.clear();
  }

  /** For the cell: with whom it is linked. */
  get linked(): readonly Incarnation[] {
    return this.#ties === null ? [] : [...this.#ties.links];
  }

  /** For the cell: a linked actor crashed, so this one does, in its next turn. */
  takeAlong(path: string, cause: unknown): void {
    if (!this.isLive) return;
    this.#cell.post({
      activity: 'link',
      run: () => {
        throw new LinkedCrash(path, cause);
      },
    });
  }

  /** For the cell: what is to run after the end, in this order. */
  get cleanups(): readonly Cleanup[] {
    return this.#ties?.cleanups.toReversed() ?? NO_CLEANUPS;
  }

  #arm(timer: ActorTimer): Timer {
    if (this.isLive) {
      this.ties.timers.add(timer);
      timer.arm();
    }
    return timer;
  }
}
