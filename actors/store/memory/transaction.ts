import { type LockMode, RolledBack, RowLocks } from './row-locks.ts';

/**
 * PostgreSQL's READ COMMITTED for tables in memory.
 *
 * A transaction is a row of statements. Whatever a verb reads between two of them, without waiting, is that statement's
 * snapshot: what was committed when it began, never anybody's unfinished work. What it writes is kept back and appears at
 * once when the transaction commits, or never. Rows are locked by name; a lock that another transaction holds makes the
 * statement wait, and whoever waited must look at the row again (PostgreSQL re-evaluates its condition on the newest version).
 *
 * `pace` is the world outside: how long a statement takes, and whether it fails. A failure at `answer` comes after the
 * commit: the caller does not know that it happened.
 */

export type Moment = 'statement' | 'row' | 'commit' | 'answer';

/** What is under way: the verb, and the epochs of partitions that the writer came with. */
export interface UnderWay {
  readonly verb: string;
  readonly epochs: ReadonlyMap<number, number | undefined>;
}

/**
 * Called before each statement and commit, after each row that was locked, and in the instant in which a commit took place, before it is answered.
 * May take its time; may throw what `pg` would.
 */
export type Pace = (moment: Moment, what: UnderWay) => Promise<void> | undefined;

const NO_EPOCHS: ReadonlyMap<number, number> = new Map();

/** A transaction is run again when it was rolled back for the sake of others, this often at most. */
const TRIES = 5;

/** The server ended the connection: nothing is known about what was under way. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
  readonly code = '57P01';

  constructor() {
    super('terminating connection due to administrator command');
  }
}

type Undo = () => void;

/** What all connections share: locks, transactions under way, and what the last commits changed. */
export class Engine {
  readonly locks = new RowLocks();
  readonly open = new Set<Transaction>();
  /** For each commit how to take it back, newest last; kept only while `history` is above 0. */
  readonly #undo: Undo[][] = [];
  readonly #history: number;
  #commits = 0;

  constructor(history: number) {
    this.#history = history;
  }

  get commits(): number {
    return this.#commits;
  }

  committed(undo: Undo[]): void {
    this.#commits += 1;
    if (this.#history === 0) return;
    this.#undo.push(undo);
    if (this.#undo.length > this.#history) this.#undo.shift();
  }

  get keepsHistory(): boolean {
    return this.#history > 0;
  }

  /** Takes the last commits back, newest first; answers how many there were to take back. */
  lose(commits: number): number {
    let lost = 0;
    for (; lost < commits; lost++) {
      const undo = this.#undo.pop();
      if (undo === undefined) break;
      for (const step of undo.toReversed()) step();
      this.#commits -= 1;
    }
    return lost;
  }
}

type Write = (undo: Undo[] | null) => void;

export class Transaction {
  readonly #engine: Engine;
  readonly #pace: Pace | undefined;
  readonly verb: string;
  /** Epochs that the writer came with, right or wrong. */
  readonly epochs = new Map<number, number | undefined>();
  readonly #held = new Set<string>();
  readonly #writes: Write[] = [];
  #lost: Error | null = null;

  constructor(engine: Engine, verb: string, pace: Pace | undefined) {
    this.#engine = engine;
    this.verb = verb;
    this.#pace = pace;
  }

  /** The next statement begins: what is read after this, and before anything is waited for, is its snapshot. */
  async statement(): Promise<void> {
    await this.#wait('statement');
  }

  /** Locks rows in the order given, one after the other, within the statement that has begun. */
  async lock(table: string, keys: Iterable<string | number>, mode: LockMode): Promise<void> {
    for (const key of keys) {
      const name = `${table} ${key}`;
      // Before the wait: a lock that is granted and a connection that is lost in one instant must not leave the row locked.
      this.#held.add(name);
      const wait = this.#engine.locks.acquire(this, name, mode);
      if (wait !== undefined) await wait;
      const pause = this.#pace?.('row', this);
      if (pause !== undefined) await pause;
      this.#check();
    }
  }

  /** `skip locked`: false when somebody else is in the way. */
  tryLock(table: string, key: string | number, mode: LockMode): boolean {
    const name = `${table} ${key}`;
    const taken = this.#engine.locks.tryAcquire(this, name, mode);
    if (taken) this.#held.add(name);
    return taken;
  }

  /** Fields of a row, from the commit on. */
  set<Row extends object>(row: Row, changes: Partial<Row>): void {
    this.#writes.push((undo) => {
      if (undo !== null) {
        const before: Partial<Row> = {};
        for (const field of Object.keys(changes) as (keyof Row)[]) before[field] = row[field];
        undo.push(() => void Object.assign(row, before));
      }
      Object.assign(row, changes);
    });
  }

  put<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
    this.#writes.push((undo) => {
      if (undo !== null) {
        const had = map.has(key);
        const before = map.get(key) as Value;
        undo.push(() => void (had ? map.set(key, before) : map.delete(key)));
      }
      map.set(key, value);
    });
  }

  remove<Key, Value>(map: Map<Key, Value>, key: Key): void {
    this.#writes.push((undo) => {
      const before = map.get(key);
      if (undo !== null && before !== undefined) undo.push(() => void map.set(key, before));
      map.delete(key);
    });
  }

  append<Value>(list: Value[], value: Value): void {
    this.#writes.push((undo) => {
      undo?.push(() => void list.splice(list.lastIndexOf(value), 1));
      list.push(value);
    });
  }

  /** Everything that was written appears, in one instant; locks are given back in the same one. */
  async commit(): Promise<void> {
    await this.#wait('commit');
    const undo: Undo[] | null = this.#engine.keepsHistory ? [] : null;
    for (const write of this.#writes) write(undo);
    if (this.#writes.length > 0) this.#engine.committed(undo ?? []);
    this.end();
    await this.#pace?.('answer', this);
  }

  /** Gives the locks back. Nothing that was not committed appears. */
  end(): void {
    this.#engine.open.delete(this);
    this.#engine.locks.release(this, this.#held);
    this.#held.clear();
  }

  /** The connection is gone: rolled back now, and its code is told at its next statement. */
  lose(error: Error): void {
    this.#lost = error;
    this.#engine.locks.giveUp(this, error);
    this.end();
  }

  async #wait(moment: Moment): Promise<void> {
    this.#check();
    await this.#pace?.(moment, this);
    this.#check();
  }

  #check(): void {
    if (this.#lost !== null) throw this.#lost;
  }
}

/** One client's way to the tables. */
export class Connection {
  readonly engine: Engine;
  readonly #pace: Pace | undefined;
  readonly #mine = new Set<Transaction>();
  #closed: Error | null = null;

  constructor(engine: Engine, pace: Pace | undefined) {
    this.engine = engine;
    this.#pace = pace;
  }

  /** Runs `work` in one transaction; again when it was rolled back for the sake of others. */
  async transaction<T>(verb: string, work: (tx: Transaction) => Promise<T> | T): Promise<T> {
    for (let tries = 1; ; tries++) {
      if (this.#closed !== null) throw this.#closed;
      const tx = new Transaction(this.engine, verb, this.#pace);
      this.engine.open.add(tx);
      this.#mine.add(tx);
      try {
        const result = await work(tx);
        await tx.commit();
        return result;
      } catch (error) {
        if (tries === TRIES || !(error instanceof RolledBack)) throw error;
      } finally {
        tx.end();
        this.#mine.delete(tx);
      }
    }
  }

  /** One statement that only reads, outside of any transaction. */
  async read<T>(verb: string, work: () => T): Promise<T> {
    if (this.#closed !== null) throw this.#closed;
    await this.#pace?.('statement', { verb, epochs: NO_EPOCHS });
    const result = work();
    await this.#pace?.('answer', { verb, epochs: NO_EPOCHS });
    return result;
  }

  /** The client died: the server rolls back what it had open. */
  close(): void {
    this.#closed = new ConnectionLost();
    for (const tx of this.#mine) tx.lose(this.#closed);
  }
}
