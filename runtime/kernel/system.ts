import { defineActor, type ChildSpec } from '#runtime/kernel/actor.ts';
import { Cell } from '#runtime/kernel/cell.ts';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import { DeadLetters, type DeadLetter, type DeadLetterReason } from '#runtime/kernel/dead-letters.ts';
import { Dispatcher } from '#runtime/kernel/dispatcher.ts';
import { ActorClosed } from '#runtime/kernel/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { examineActor, inspectActor, type ActorReport, type Examination } from '#runtime/kernel/inspect.ts';
import type { Kernel } from '#runtime/kernel/kernel.ts';
import { NONE } from '#runtime/kernel/mailbox.ts';
import { protocol, type Protocol } from '#runtime/kernel/protocol.ts';
import { ActorRef, type AnyRef, type AskOptions, type Ref } from '#runtime/kernel/ref.ts';
import { slowReportOf, type SlowReport } from '#runtime/kernel/slow-report.ts';
import { TimerWheel } from '#runtime/kernel/timer-wheel.ts';
import { TracedCell } from '#runtime/kernel/traced-cell.ts';
import type { Tracing } from '#runtime/kernel/tracing.ts';

export interface SystemOptions {
  readonly name: string;
  readonly host: Host;
  /** Carries traces with messages. */
  readonly tracing?: Tracing;
  /** Told of each crash, after the supervisor has decided. */
  readonly onCrash?: (report: CrashReport) => void;
  /**
   * Told once when the top level's restart limit is reached and the system ends by itself: nothing in this process starts it again, so
   * whoever runs it should end the process.
   */
  readonly onGaveUp?: (error: unknown) => void;
  /** Told of code that held the thread for longer than 50 ms. */
  readonly onSlow?: (report: SlowReport) => void;
  /** Told of each message that was not handled. Under overload that is often: count or sample. */
  readonly onDeadLetter?: (letter: DeadLetter, payload: unknown) => void;
}

/** Messages by what became of them: sent = handled + deadLettered + queued + lost, at any time. */
export interface Accounting {
  /** All tells and asks, those that were answered `full` or `closed` included. */
  readonly sent: number;
  readonly handled: number;
  readonly deadLettered: number;
  /** In a mailbox or in hand. */
  readonly queued: number;
  /** Gone with a process that died: always 0 as seen from within the process. */
  readonly lost: number;
}

export interface System {
  readonly name: string;
  /** Starts an actor at the top of the tree, one-for-one, with the default restart limit. */
  spawn<P extends Protocol, A>(child: ChildSpec<P, A>): Ref<P>;
  /** Ends an actor for good, wherever it is in the tree. */
  stop(ref: AnyRef): Promise<void>;
  /** Ends all actors, the last started first. Also happens by itself when the top level's restart limit is reached. */
  shutdown(): Promise<void>;
  accounting(): Accounting;
  /** How many of its messages wait or are in hand. */
  queued(ref: AnyRef): number;
  inspect(): ActorReport;
  /** The actor at a path as `inspect` shows it, `/jobs/job-1` for one. */
  find(path: string): AnyRef | undefined;
  /**
   * Looks into one actor, in its turn and before its messages: what the tree shows, its state as it gives it (`context.showState`), and
   * the messages that it handled since it was first looked at, the last 32. They are recorded for as long as somebody looks at least once
   * a minute; an actor that nobody looks at pays nothing.
   * @throws {AskTimeout} when a handler keeps it busy for longer than the deadline
   * @throws {ActorClosed} when it has ended
   */
  examine(ref: AnyRef, options: AskOptions): Promise<Examination>;
  deadLetters(): { readonly counts: Readonly<Record<DeadLetterReason, number>>; readonly recent: readonly DeadLetter[] };
}

const ROOT = defineActor({ protocol: protocol('system', {}), start: () => ({}) });

/** Makes an actor system: one tree of actors in this thread, one dispatcher, one timer wheel. */
export function createSystem(options: SystemOptions): System {
  const { host, tracing } = options;
  const wheel = new TimerWheel(host);
  const guarded =
    <A extends readonly unknown[]>(hook: ((...args: A) => void) | undefined) =>
    (...args: A): void => {
      try {
        hook?.(...args);
      } catch (error) {
        // A defect of the hook must not stop the dispatcher, nor go unseen.
        host.scheduler.microtask(() => {
          throw error;
        });
      }
    };
  let ended: Promise<void> | null = null;
  const shutdown = (): Promise<void> =>
    (ended ??= root.stop({ reason: 'shutdown' }).then(() => {
      wheel.close();
    }));
  const onSlow = guarded(options.onSlow);
  const onGaveUp = guarded(options.onGaveUp);
  const CellClass = tracing === undefined ? Cell : TracedCell;
  const kernel: Kernel = {
    host,
    wheel,
    dispatcher: new Dispatcher(host, {
      began: () => {
        tracing?.began();
      },
      ended: () => {
        tracing?.ended();
      },
      resumed: (now) => {
        wheel.advance(now);
      },
      slow: (among, ms, last) => {
        // Only cells stand in the run queue.
        onSlow(slowReportOf(last as Cell, among, ms));
      },
    }),
    deadLetters: new DeadLetters(host.clock, guarded(options.onDeadLetter)),
    retired: { admitted: 0, handled: 0, refused: 0 },
    latest: { code: NONE },
    tracing: tracing ?? null,
    hatch: (parent, spec) => new CellClass(kernel, parent, spec),
    report: guarded(options.onCrash),
    giveUp: (error) => {
      if (ended !== null) return;
      void shutdown();
      onGaveUp(error);
    },
  };
  const root = new CellClass(kernel, null, { id: options.name, actor: ROOT, restart: 'permanent' });

  return {
    name: options.name,
    spawn: <P extends Protocol, A>(child: ChildSpec<P, A>) => {
      if (!root.isSupervising || ended !== null) throw new ActorClosed(options.name, 'spawn');
      // The ref was made by the protocol of the spec.
      return root.children.spawn(child).ref as Ref<P>;
    },
    stop: (ref) => ActorRef.cellOf(ref).stop({ reason: 'shutdown' }),
    shutdown,
    accounting: () => accountingOf(root),
    queued: (ref) => queuedOf(ActorRef.cellOf(ref)),
    inspect: () => inspectActor(root),
    find: (path) => findCell(root, path)?.ref,
    examine: (ref, { timeoutMs }) => examineActor(ActorRef.cellOf(ref), timeoutMs),
    deadLetters: () => ({ counts: kernel.deadLetters.counts, recent: kernel.deadLetters.recent }),
  };
}

function findCell(root: Cell, path: string): Cell | undefined {
  let cell: Cell | undefined = root;
  for (const id of path.split('/').filter((part) => part !== '')) {
    if (cell?.hasChildren !== true) return undefined;
    const { children }: Cell = cell;
    // One that was given no id has a name only when it is asked for it.
    cell = children.get(id) ?? (id.startsWith('$') ? Array.from(children.all()).find((child) => child.path.endsWith(`/${id}`)) : undefined);
  }
  return cell;
}

function queuedOf(cell: Cell): number {
  return cell.waiting + (cell.inHand === undefined ? 0 : 1);
}

function accountingOf(root: Cell): Accounting {
  const { retired, deadLetters } = root.kernel;
  let { admitted, handled } = retired;
  let queued = 0;
  const pending = root.phase === 'stopped' ? [] : [root];
  for (let cell = pending.pop(); cell !== undefined; cell = pending.pop()) {
    admitted += cell.admitted;
    handled += cell.handled;
    queued += queuedOf(cell);
    if (cell.hasChildren) for (const child of cell.children.all()) pending.push(child);
  }
  return { sent: admitted + retired.refused, handled, deadLettered: deadLetters.total, queued, lost: 0 };
}
