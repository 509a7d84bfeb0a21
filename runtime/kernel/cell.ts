import type { AnyChildSpec, Termination } from '#runtime/kernel/actor.ts';
import type { Activity } from '#runtime/kernel/crash-report.ts';
import type { DeadLetterReason } from '#runtime/kernel/dead-letters.ts';
import { Delay, withinTime } from '#runtime/kernel/delay.ts';
import { ActorClosed, ActorCrashed, MailboxFull, type Refusal, SetAside, StashFull } from '#runtime/kernel/errors.ts';
import { noExtras, type Extras } from '#runtime/kernel/extras.ts';
import type { HandlerTable } from '#runtime/kernel/handler-table.ts';
import { Incarnation, type Cleanup } from '#runtime/kernel/incarnation.ts';
import type { Kernel } from '#runtime/kernel/kernel.ts';
import { NONE } from '#runtime/kernel/mailbox.ts';
import { PendingAsk } from '#runtime/kernel/pending-ask.ts';
import { Recorder, type RecordedMessage } from '#runtime/kernel/recorder.ts';
import type { ActorRef } from '#runtime/kernel/ref.ts';
import { Runner } from '#runtime/kernel/runner.ts';
import { Supervisor, type Verdict } from '#runtime/kernel/supervisor.ts';
import type { Watch } from '#runtime/kernel/watch.ts';

const DEFAULT_CAPACITY = 1024;
const DEFAULT_SHUTDOWN_MS = 5_000;
/** So long after somebody looked its messages are recorded. */
const RECORDED_MS = 60_000;
const BY_ITSELF: Ending = { reason: 'stopped' };
/** What becomes of an actor that nobody has to decide about. */
const ENDS: Verdict = { outcome: 'stop', restartsInPeriod: 0 };

/**
 * The life of an actor.
 *
 * starting: its `start` is due or has not settled; messages queue.
 * running: it takes messages.
 * failed: it crashed, or a permanent one ended by itself; its supervisor decides.
 * ending: children are being stopped, the last started first, then cleanups run.
 * waiting: nothing of the incarnation is left; messages queue until the supervisor starts the next one.
 * stopped: for good; what was queued has become dead letters, the watchers are told.
 *
 * starting → running → ending → waiting → starting …    `halt` and `restart`, by the supervisor
 * starting, running → failed → ending                   its own code, or a supervisor's limit reached below it
 * any → ending → stopped                                `stop`: by itself, its parent, or the system
 */
export type Phase = 'starting' | 'running' | 'failed' | 'ending' | 'waiting' | 'stopped';

/** Why an actor ends for good. */
export type Ending = Omit<Termination, 'path'>;

/** An actor: its identity and its life. How it takes messages is in `Runner`. */
export class Cell extends Runner {
  readonly parent: Cell | null;
  readonly spec: AnyChildSpec;
  readonly ref: ActorRef;
  /** For its parent's supervisor only: its neighbours in start order. */
  older: Cell | null = null;
  younger: Cell | null = null;
  phase: Phase = 'starting';
  #incarnation: Incarnation | null = null;
  /** Set when it is to end for good. */
  #ending: Ending | null = null;
  #extras: Extras | null = null;

  constructor(kernel: Kernel, parent: Cell | null, spec: AnyChildSpec) {
    super(kernel);
    this.parent = parent;
    this.spec = spec;
    this.ref = new spec.actor.protocol.Ref(this);
    this.beginNext();
  }

  /** Put together when asked for: most actors never are. */
  get path(): string {
    const { parent } = this;
    if (parent === null) return '/';
    return parent.parent === null ? `/${this.name}` : `${parent.path}/${this.name}`;
  }

  /** Its id, or the name that it is given when somebody asks for it. */
  private get name(): string {
    return this.spec.id ?? (this.more.name ??= this.parent?.children.nextName() ?? '');
  }

  override get capacity(): number {
    const { spec } = this;
    return spec.mailbox?.capacity ?? spec.actor.mailbox?.capacity ?? DEFAULT_CAPACITY;
  }

  get restarts(): number {
    return this.#extras?.restarts ?? 0;
  }

  get lastError(): unknown {
    return this.#extras?.lastError;
  }

  /** How many wait for its end. */
  get watcherCount(): number {
    return this.#extras?.watchers?.size ?? 0;
  }

  /** How it ended, if it has ended for good. */
  get termination(): Termination | null {
    return this.phase === 'stopped' && this.#ending !== null ? { path: this.path, ...this.#ending } : null;
  }

  /** Looks after its children; made with the first one. */
  get children(): Supervisor {
    return (this.more.supervisor ??= new Supervisor(this));
  }

  get hasChildren(): boolean {
    const supervisor = this.#extras?.supervisor;
    return supervisor !== null && supervisor !== undefined && !supervisor.isEmpty;
  }

  /** Its children's failures are its business, not part of its own end. */
  get isSupervising(): boolean {
    return this.phase === 'running' || this.phase === 'starting';
  }

  /** Its code is on the stack or has not settled yet. */
  get isBusy(): boolean {
    return this.isRunning || (this.isSuspended && (this.phase === 'running' || this.phase === 'starting'));
  }

  /** The message in hand, if any. */
  get inHand(): string | undefined {
    const code = this.codeInHand;
    return code === NONE ? undefined : this.nameOf(code);
  }

  /** The name of a message by its kind, or by its code in the mailbox. */
  nameOf(code: number): string {
    return this.spec.actor.protocol.kinds[code < 0 ? ~code : code] ?? `#${code}`;
  }

  ask(kind: number, payload: unknown, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!Number.isFinite(timeoutMs)) throw new RangeError(`'${this.nameOf(kind)}' to ${this.path}: an ask needs a finite timeoutMs`);
      const pending = new PendingAsk({ cell: this, kind, payload, timeoutMs }, resolve, reject);
      if (timeoutMs <= 0) pending.expire();
      else if (this.tell(~kind, pending) === 'accepted') this.kernel.wheel.schedule(pending, timeoutMs);
    });
  }

  get restartsAt(): number | null {
    return this.#extras?.restartsAt ?? null;
  }

  /** For its supervisor. */
  restartsIn(ms: number): void {
    this.more.restartsAt = this.kernel.host.clock.now() + ms;
  }

  stateShownBy(snapshot: () => unknown): void {
    this.more.snapshot = snapshot;
  }

  showState(): unknown {
    return this.#extras?.snapshot?.();
  }

  /** Records its messages for a minute from now. */
  record(): void {
    const { more } = this;
    const { wheel, host } = this.kernel;
    more.forgetRecords?.cancel();
    more.forgetRecords = new Delay(wheel, RECORDED_MS, () => {
      this.#forgetRecords();
    });
    if (more.recorder !== null) return;
    more.recorder = new Recorder(host.clock);
    if (this.phase === 'running') this.#wrap();
  }

  get recorded(): readonly RecordedMessage[] {
    return this.#extras?.recorder?.messages ?? [];
  }

  watch(watch: Watch): void {
    (this.more.watchers ??= new Set()).add(watch);
  }

  unwatch(watch: Watch): void {
    this.#extras?.watchers?.delete(watch);
  }

  /**
   * Ends the incarnation: the handler in hand may finish (at most `shutdownMs`), then the children end, then the cleanups run.
   * Messages keep queueing. Settles when nothing of it is left.
   */
  halt(): Promise<void> {
    if (this.phase === 'failed') this.#tearDown();
    if (this.phase === 'running' || this.phase === 'starting') {
      const more = this.more;
      more.ordered = true;
      if (!this.isHalting) this.haltNext();
      if (this.isBusy && more.deadline === null) {
        more.deadline = new Delay(this.kernel.wheel, this.shutdownMs, () => {
          this.#abandon();
        });
      }
    }
    return this.phase === 'waiting' || this.phase === 'stopped' ? Promise.resolve() : this.#settled();
  }

  /** Ends the actor for good and admits nothing more from now on. Settles when nothing of it is left. */
  stop(ending: Ending): Promise<void> {
    this.#ending ??= ending;
    this.close();
    if (this.phase === 'waiting') this.#finish(this.#ending);
    return this.halt();
  }

  /** Starts the next incarnation of a waiting actor. Settles when it runs, or is down again. */
  restart(): Promise<void> {
    this.more.restarts++;
    this.more.restartsAt = null;
    this.phase = 'starting';
    this.beginNext();
    return this.#settled();
  }

  /** The normal end by its own wish, after what is in hand. */
  leave(): void {
    if (this.spec.restart !== 'permanent') {
      this.#ending ??= BY_ITSELF;
      this.close();
    }
    if (!this.isHalting) this.haltNext();
  }

  /** Its children fail more often than it may restart them: the failure is its own now. */
  escalate(error: unknown): void {
    if (this.parent === null) {
      this.#report(error, 'supervision', ENDS);
      this.kernel.giveUp(error);
    } else this.crashed(error, 'supervision');
  }

  override get life(): Incarnation | null {
    return this.isSupervising ? this.#incarnation : null;
  }

  /** The incarnation there is, or the one whose start is due. */
  get lifeOrNext(): Incarnation | null {
    if (this.phase === 'starting') this.#incarnation ??= new Incarnation(this);
    return this.life;
  }

  /** Whether that is the incarnation there is: an old one is inert. */
  isCurrent(incarnation: Incarnation): boolean {
    return incarnation === this.life;
  }

  protected override begin(): unknown {
    // The spec was made with arguments and a protocol that fit the definition.
    const start = this.spec.actor.start as (context: unknown, args: unknown) => unknown;
    this.#incarnation ??= new Incarnation(this);
    return start(this.#incarnation, this.spec.args);
  }

  protected override began(handlers: unknown): void {
    if (typeof handlers !== 'object' || handlers === null) throw new TypeError(`${this.path}: its start answered no handlers`);
    this.handlers = this.tableOf(handlers);
    this.receiver = this.receiverOf(handlers);
    this.#wrap();
    this.phase = 'running';
    if (!this.isHalting) this.#release();
  }

  /** While somebody looks, its handlers are called by way of the recorder. */
  #wrap(): void {
    const recorder = this.#extras?.recorder;
    if (recorder === null || recorder === undefined) return;
    const { handlers, receiver } = this;
    this.more.plain = { handlers, receiver };
    this.handlers = recorder.around(handlers, receiver, this.spec.actor.protocol.kinds);
    this.receiver = undefined;
  }

  #forgetRecords(): void {
    if (this.#extras === null) return;
    const { plain, forgetRecords } = this.#extras;
    forgetRecords?.cancel();
    this.#extras.forgetRecords = null;
    this.#extras.recorder = null;
    this.#extras.plain = null;
    if (plain === null) return;
    this.handlers = plain.handlers;
    this.receiver = plain.receiver;
  }

  protected tableOf(handlers: object): HandlerTable {
    return this.spec.actor.protocol.tables.of(handlers);
  }

  protected receiverOf(handlers: object): unknown {
    return this.spec.actor.protocol.tables.areMethods(handlers) ? handlers : undefined;
  }

  /** What the sender gave, as it stands in the mailbox. */
  protected payloadOf(body: unknown): unknown {
    return body;
  }

  protected override halted(): void {
    if (this.isExpected) this.#tearDown();
    else this.#fail(undefined, 'message');
  }

  protected override crashed(error: unknown, activity: Activity): void {
    this.more.lastError = error;
    this.#fail({ error }, activity);
  }

  /** How many messages wait, those that are set aside among them. */
  get waiting(): number {
    return this.depth + (this.#extras?.stash?.length ?? 0);
  }

  /** For the handler in hand. @throws SetAside, which the handler lets pass */
  stash(): never {
    if (this.codeInHand === NONE) throw new TypeError(`${this.path}: only the handler of a message can set it aside`);
    if ((this.#extras?.stash?.length ?? 0) >= this.capacity) throw new StashFull(this.path, this.capacity);
    throw SetAside.now;
  }

  protected override setAside(code: number, body: unknown): void {
    (this.more.stash ??= []).push({ code, body });
  }

  /** Those that were set aside come next, in their old order. */
  unstash(): void {
    const stash = this.#extras?.stash;
    if (stash === null || stash === undefined) return;
    this.more.stash = null;
    for (const { code, body } of stash.toReversed()) this.putBack(code, body);
  }

  protected override refuse(code: number, body: unknown, reason: 'full' | 'closed'): void {
    this.kernel.retired.refused++;
    this.#bury(code, body, reason);
  }

  /** It crashed, or is permanent and ended by itself (no failure). One that is to end anyway just ends. */
  #fail(failure: { readonly error: unknown } | undefined, activity: Activity): void {
    const code = this.codeInHand;
    const body = this.slotBody;
    const linked = failure === undefined ? [] : (this.#incarnation?.linked ?? []);
    const expected = this.isExpected;
    this.#disconnect();
    this.phase = 'failed';
    if (code !== NONE) this.#bury(code, body, 'crashed', failure?.error);
    const supervisor = this.parent?.children;
    const verdict: Verdict = expected || supervisor === undefined ? ENDS : supervisor.judge(this, failure !== undefined);
    if (failure !== undefined) this.#report(failure.error, activity, verdict, code);
    for (const other of linked) other.takeAlong(this.path, failure?.error);
    if (expected) this.#tearDown();
    else supervisor?.carryOut(this, verdict, failure);
  }

  /** The handler in hand did not settle in time for the end. */
  #abandon(): void {
    const code = this.codeInHand;
    const body = this.slotBody;
    this.#tearDown();
    if (code !== NONE) this.#bury(code, body, 'abandoned');
  }

  #tearDown(): void {
    if (this.#extras !== null) {
      this.#extras.deadline?.cancel();
      this.#extras.deadline = null;
      this.#extras.ordered = false;
    }
    this.#disconnect();
    this.phase = 'ending';
    const cleanups = this.#incarnation?.cleanups ?? [];
    this.#incarnation = null;
    if (!this.hasChildren && cleanups.length === 0) this.#down();
    else void this.#endRest(cleanups);
  }

  async #endRest(cleanups: readonly Cleanup[]): Promise<void> {
    await this.#extras?.supervisor?.stopAll();
    if (cleanups.length > 0 && !(await withinTime(this.kernel.wheel, this.shutdownMs, this.#cleanUp(cleanups)))) {
      const error = new Error(`the cleanups of ${this.path} did not end within ${this.shutdownMs} ms`);
      this.#report(error, 'cleanup', ENDS);
    }
    this.#down();
  }

  async #cleanUp(cleanups: readonly Cleanup[]): Promise<void> {
    for (const cleanup of cleanups) {
      try {
        await cleanup();
      } catch (error) {
        this.#report(error, 'cleanup', ENDS);
      }
    }
  }

  /** Nothing of the incarnation is left. */
  #down(): void {
    if (this.#extras !== null) this.#extras.supervisor = null;
    this.phase = 'waiting';
    if (this.#ending !== null) this.#finish(this.#ending);
    else this.#release();
  }

  #finish(ending: Ending): void {
    this.#forgetRecords();
    this.phase = 'stopped';
    while (this.take()) {
      const { slotCode, slotBody } = this;
      this.letGo();
      this.#bury(slotCode, slotBody, 'stopped');
    }
    this.kernel.retired.admitted += this.admitted;
    this.kernel.retired.handled += this.handled;
    this.parent?.children.remove(this);
    const watchers = this.#extras?.watchers;
    if (watchers !== null && watchers !== undefined) {
      const termination: Termination = { path: this.path, ...ending };
      for (const watch of watchers) watch.terminated(termination);
    }
    this.#release();
  }

  /** Its supervisor does not have to decide about this end: somebody has. */
  private get isExpected(): boolean {
    return this.#ending !== null || this.#extras?.ordered === true;
  }

  #disconnect(): void {
    this.#incarnation?.end();
    if (this.#extras !== null) {
      this.#extras.snapshot = null;
      this.#extras.plain = null;
    }
    // The next incarnation gets them, or the dead letters.
    this.unstash();
    this.disconnect();
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      (this.more.waiters ??= []).push(resolve);
    });
  }

  #release(): void {
    const waiters = this.#extras?.waiters;
    if (waiters === null || waiters === undefined) return;
    this.more.waiters = null;
    for (const waiter of waiters) waiter();
  }

  /** V8 calls a getter with a `#` name by way of its runtime, which is slow. */
  private get more(): Extras {
    return (this.#extras ??= noExtras());
  }

  private get shutdownMs(): number {
    return this.spec.shutdownMs ?? DEFAULT_SHUTDOWN_MS;
  }

  #bury(code: number, body: unknown, reason: DeadLetterReason, error?: unknown): void {
    const name = this.nameOf(code);
    const letter = { path: this.path, message: name, reason, ...(error === undefined ? {} : { error }) };
    if (code >= 0) this.kernel.deadLetters.add(letter, this.payloadOf(body));
    else {
      const pending = body as PendingAsk;
      pending.reject(refusalFor(reason, this.path, name, error));
      this.kernel.deadLetters.add(letter, this.payloadOf(pending.payload));
    }
  }

  #report(error: unknown, activity: Activity, verdict: Verdict, code = NONE): void {
    this.kernel.report({
      path: this.path,
      protocol: this.spec.actor.protocol.name,
      error,
      activity,
      ...(code === NONE ? {} : { message: this.nameOf(code) }),
      ...verdict,
      at: this.kernel.host.clock.wall(),
    });
  }
}

function refusalFor(reason: DeadLetterReason, path: string, message: string, error: unknown): Refusal {
  if (reason === 'full') return new MailboxFull(path, message);
  return reason === 'crashed' ? new ActorCrashed(path, message, error) : new ActorClosed(path, message);
}
