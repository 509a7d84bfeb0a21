/**
 * PostgreSQL's row locks, as far as the store's verbs use them: held until the transaction ends, waited for in the order of
 * asking. A wait that closes a circle ends at once with PostgreSQL's own answer (it looks for circles after a second).
 * Source: PostgreSQL manual, 13.3.2, table of conflicting row-level locks.
 */

export type LockMode = 'share' | 'no key update' | 'update';

/** Who holds or waits: one transaction. */
export type Owner = object;

interface Waiter {
  readonly owner: Owner;
  readonly mode: LockMode;
  readonly granted: PromiseWithResolvers<void>;
}

interface LockedRow {
  readonly key: string;
  readonly holders: Map<Owner, LockMode>;
  waiting: Waiter[];
}

/** What PostgreSQL answers to the transaction that it ends for the sake of others. */
export class RolledBack extends Error {
  override readonly name = 'RolledBack';
  readonly code: '40001' | '40P01';

  constructor(code: '40001' | '40P01') {
    super(code === '40P01' ? 'deadlock detected' : 'could not serialize access due to concurrent update');
    this.code = code;
  }
}

export class RowLocks {
  readonly #rows = new Map<string, LockedRow>();
  /** The row that an owner waits for. */
  readonly #waits = new Map<Owner, LockedRow>();

  /** Waits that closed a circle and were ended for it. */
  deadlocks = 0;

  /** Rows that are locked or waited for. */
  get size(): number {
    return this.#rows.size;
  }

  /** Undefined when the lock was there at once; else a promise that settles when it is, or rejects when the wait ends otherwise. */
  acquire(owner: Owner, key: string, mode: LockMode): Promise<void> | undefined {
    const row = this.#rowOf(key);
    if (row.waiting.length === 0 ? free(row, owner, mode) : row.holders.get(owner) !== undefined && free(row, owner, mode)) {
      hold(row, owner, mode);
      return undefined;
    }
    const waiter: Waiter = { owner, mode, granted: Promise.withResolvers<void>() };
    if (this.#closesCircle(row, waiter)) {
      this.#tidy(row);
      this.deadlocks += 1;
      return Promise.reject(new RolledBack('40P01'));
    }
    row.waiting.push(waiter);
    this.#waits.set(owner, row);
    return waiter.granted.promise;
  }

  /** Takes the lock when nobody is in the way (`skip locked`). */
  tryAcquire(owner: Owner, key: string, mode: LockMode): boolean {
    const row = this.#rowOf(key);
    const taken = row.waiting.length === 0 && free(row, owner, mode);
    if (taken) hold(row, owner, mode);
    this.#tidy(row);
    return taken;
  }

  /** The transaction is over: whoever waited for these rows goes on, in the order of asking. */
  release(owner: Owner, keys: Iterable<string>): void {
    for (const key of keys) {
      const row = this.#rows.get(key);
      if (row === undefined) continue;
      row.holders.delete(owner);
      this.#grant(row);
      this.#tidy(row);
    }
  }

  /** Ends a wait from outside: the connection is gone. */
  giveUp(owner: Owner, error: Error): void {
    const row = this.#waits.get(owner);
    if (row === undefined) return;
    this.#waits.delete(owner);
    const waiter = row.waiting.find((one) => one.owner === owner);
    row.waiting = row.waiting.filter((one) => one !== waiter);
    waiter?.granted.reject(error);
    this.#grant(row);
    this.#tidy(row);
  }

  #rowOf(key: string): LockedRow {
    let row = this.#rows.get(key);
    if (row === undefined) this.#rows.set(key, (row = { key, holders: new Map(), waiting: [] }));
    return row;
  }

  #tidy(row: LockedRow): void {
    if (row.holders.size === 0 && row.waiting.length === 0) this.#rows.delete(row.key);
  }

  #grant(row: LockedRow): void {
    for (let next = row.waiting[0]; next !== undefined && free(row, next.owner, next.mode); next = row.waiting[0]) {
      row.waiting.shift();
      this.#waits.delete(next.owner);
      hold(row, next.owner, next.mode);
      next.granted.resolve();
    }
  }

  /** True when somebody that the waiter would wait for waits, in the end, for the waiter. */
  #closesCircle(row: LockedRow, waiter: Waiter): boolean {
    const seen = new Set<Owner>();
    const open = blockers(row, waiter);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (next === waiter.owner) return true;
      if (seen.has(next)) continue;
      seen.add(next);
      const waitsFor = this.#waits.get(next);
      const itself = waitsFor?.waiting.find((one) => one.owner === next);
      if (waitsFor !== undefined && itself !== undefined) open.push(...blockers(waitsFor, itself));
    }
    return false;
  }
}

function blockers(row: LockedRow, waiter: Waiter): Owner[] {
  const holders = [...row.holders].filter(([owner, mode]) => owner !== waiter.owner && conflict(mode, waiter.mode));
  const at = row.waiting.indexOf(waiter);
  const before = at < 0 ? row.waiting : row.waiting.slice(0, at);
  return [...holders.map(([owner]) => owner), ...before.map(({ owner }) => owner)];
}

function free(row: LockedRow, owner: Owner, mode: LockMode): boolean {
  for (const [holder, held] of row.holders) if (holder !== owner && conflict(held, mode)) return false;
  return true;
}

function hold(row: LockedRow, owner: Owner, mode: LockMode): void {
  const held = row.holders.get(owner);
  if (held === undefined || held === 'share' || mode === 'update') row.holders.set(owner, mode);
}

function conflict(a: LockMode, b: LockMode): boolean {
  return a !== 'share' || b !== 'share';
}
