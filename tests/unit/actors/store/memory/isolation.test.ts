import { describe, expect, it } from 'vitest';

import { RolledBack } from '#actors/store/memory/row-locks.ts';
import { Connection, ConnectionLost, Engine, type Pace, type Transaction } from '#actors/store/memory/transaction.ts';

interface Account {
  balance: number;
}

/** Statements that wait until they are let go, one by one, by the name of their transaction. */
function stage() {
  const engine = new Engine(10);
  const gates = new Map<string, (() => void)[]>();
  const pace: Pace = (moment, { verb }) => {
    if (moment === 'row') return undefined;
    return new Promise((resolve) => {
      gates.set(verb, [...(gates.get(verb) ?? []), resolve]);
    });
  };
  const connection = new Connection(engine, pace);
  return {
    engine,
    connection,
    run: <T>(name: string, work: (tx: Transaction) => Promise<T>) => {
      const outcome = connection.transaction(name, work).then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      return outcome;
    },
    /** Lets the next statement of this transaction begin, and all that can run then run. */
    async next(name: string): Promise<void> {
      for (let round = 0; round < 20 && gates.get(name)?.[0] === undefined; round++) await Promise.resolve();
      gates.get(name)?.shift()?.();
      for (let round = 0; round < 20; round++) await Promise.resolve();
    },
  };
}

async function expectIdle({ engine }: ReturnType<typeof stage>): Promise<void> {
  expect(engine.open.size).toBe(0);
  expect(engine.locks.size).toBe(0);
}

describe('transactions in memory', () => {
  it('show nothing before their commit, and everything after it', async () => {
    const play = stage();
    const account: Account = { balance: 1 };
    const seen: number[] = [];
    const writer = play.run('writer', async (tx) => {
      await tx.statement();
      tx.set(account, { balance: 2 });
      await tx.statement();
      seen.push(account.balance);
    });
    await play.next('writer');
    seen.push(account.balance);
    await play.next('writer');
    await play.next('writer');
    seen.push(account.balance);
    await play.next('writer');
    await writer;
    expect(seen).toEqual([1, 1, 2]);
    await expectIdle(play);
  });

  it('wait for a row that another one has locked, and see what that one left', async () => {
    const play = stage();
    const account: Account = { balance: 1 };
    const add = (name: string) =>
      play.run(name, async (tx) => {
        await tx.statement();
        await tx.lock('account', ['a'], 'no key update');
        const { balance } = account;
        await tx.statement();
        tx.set(account, { balance: balance + 1 });
      });
    const both = [add('first'), add('second')];
    await play.next('first');
    await play.next('second');
    for (const name of ['first', 'first', 'first', 'second', 'second', 'second']) await play.next(name);
    await Promise.all(both);
    expect(account.balance).toBe(3);
    await expectIdle(play);
  });

  it('without a lock lose an update, as PostgreSQL does under READ COMMITTED', async () => {
    const play = stage();
    const account: Account = { balance: 1 };
    const add = (name: string) =>
      play.run(name, async (tx) => {
        await tx.statement();
        const { balance } = account;
        await tx.statement();
        await tx.lock('account', ['a'], 'no key update');
        tx.set(account, { balance: balance + 1 });
      });
    const both = [add('first'), add('second')];
    await play.next('first');
    await play.next('second');
    for (const name of ['first', 'first', 'first', 'second', 'second', 'second']) await play.next(name);
    await Promise.all(both);
    expect(account.balance).toBe(2);
  });

  it('that share a row keep out only who wants to change it', async () => {
    const play = stage();
    const order: string[] = [];
    const hold = (name: string, mode: 'share' | 'update') =>
      play.run(name, async (tx) => {
        await tx.statement();
        await tx.lock('row', [1], mode);
        order.push(name);
        await tx.statement();
      });
    const all = [hold('a', 'share'), hold('b', 'share'), hold('taker', 'update')];
    for (const name of ['a', 'b', 'taker']) await play.next(name);
    expect(order).toEqual(['a', 'b']);
    for (const name of ['a', 'a', 'a']) await play.next(name);
    expect(order).toEqual(['a', 'b']);
    for (const name of ['b', 'b', 'b']) await play.next(name);
    expect(order).toEqual(['a', 'b', 'taker']);
    for (const name of ['taker', 'taker', 'taker']) await play.next(name);
    await Promise.all(all);
    await expectIdle(play);
  });

  it('that wait for each other in a circle end with 40P01, and are run again', async () => {
    const play = stage();
    let tries = 0;
    const cross = (name: string, keys: readonly string[]) =>
      play.run(name, async (tx) => {
        if (name === 'second') tries += 1;
        for (const key of keys) {
          await tx.statement();
          await tx.lock('row', [key], 'no key update');
        }
      });
    const both = [cross('first', ['a', 'b']), cross('second', ['b', 'a'])];
    for (const name of ['first', 'second', 'first', 'second']) await play.next(name);
    expect(tries).toBe(2);
    for (let round = 0; round < 4; round++) for (const name of ['first', 'second']) await play.next(name);
    expect(await Promise.all(both)).toEqual([{ value: undefined }, { value: undefined }]);
    await expectIdle(play);
  });

  it('give up after a few tries', async () => {
    const connection = new Connection(new Engine(0), undefined);
    let tries = 0;
    const never = connection.transaction('never', () => {
      tries += 1;
      throw new RolledBack('40001');
    });
    await expect(never).rejects.toMatchObject({ code: '40001' });
    expect(tries).toBe(5);
  });

  it('whose connection is lost leave nothing, and their code hears of it', async () => {
    const play = stage();
    const account: Account = { balance: 1 };
    const writer = play.run('writer', async (tx) => {
      await tx.statement();
      await tx.lock('account', ['a'], 'update');
      tx.set(account, { balance: 2 });
    });
    const waiter = play.run('waiter', async (tx) => {
      await tx.statement();
      await tx.lock('account', ['a'], 'update');
    });
    await play.next('writer');
    await play.next('waiter');
    for (const tx of play.engine.open) tx.lose(new ConnectionLost());
    await play.next('writer');
    expect(await Promise.all([writer, waiter])).toEqual([{ error: expect.any(ConnectionLost) }, { error: expect.any(ConnectionLost) }]);
    expect(account.balance).toBe(1);
    await expectIdle(play);
  });

  it('that were the last ones are gone after a fail-over, newest first', async () => {
    const engine = new Engine(10);
    const connection = new Connection(engine, undefined);
    const account: Account = { balance: 0 };
    const map = new Map([['kept', 1]]);
    const list: string[] = ['kept'];
    for (const balance of [1, 2, 3]) {
      await connection.transaction('deposit', (tx) => {
        tx.set(account, { balance });
        tx.put(map, 'kept', balance * 10);
        tx.put(map, `new ${balance}`, balance);
        tx.append(list, `${balance}`);
      });
    }
    expect(engine.lose(2)).toBe(2);
    expect(account.balance).toBe(1);
    expect([...map]).toEqual([
      ['kept', 10],
      ['new 1', 1],
    ]);
    expect(list).toEqual(['kept', '1']);
    expect(engine.lose(5)).toBe(1);
    expect(account.balance).toBe(0);
  });
});
