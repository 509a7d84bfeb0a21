import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';
import { defineActor, type Handlers } from '#runtime/kernel/actor.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Admission, AnyRef, Ref } from '#runtime/kernel/ref.ts';
import { withSystem } from '#tests/support/actors.ts';

const Account = protocol('account', { deposit: tell<number>(), touch: tell(), balance: ask<void, number>(), add: ask<number, string>() });
type AccountRef = Ref<typeof Account>;

const account = defineActor({
  protocol: Account,
  start(_context, opening: number) {
    let balance = opening;
    return {
      deposit(amount) {
        balance += amount;
      },
      touch() {
        balance += 0;
      },
      balance: () => balance,
      add: (amount) => String((balance += amount)),
    };
  },
});

describe('a protocol', () => {
  it('keeps the order of its messages', () => {
    expect(Account.kinds).toEqual(['deposit', 'touch', 'balance', 'add']);
    expect(Account.name).toBe('account');
  });

  it.each(['path', 'then', 'toString', 'toJSON', 'constructor', 'hasOwnProperty', '__proto__'])('refuses a message named %s', (name) => {
    expect(() => protocol('bad', { [name]: tell() })).toThrow(TypeError);
  });

  it('is frozen', () => {
    expect(Object.isFrozen(Account)).toBe(true);
    expect(Object.isFrozen(Account.kinds)).toBe(true);
  });
});

describe('a ref', () => {
  it('has one typed method per message', async () => {
    await withSystem(async ({ host, system }) => {
      const ref: AccountRef = system.spawn({ id: 'a', actor: account, args: 5, restart: 'permanent' });
      const admission: Admission = ref.deposit(3);
      expect(admission).toBe('accepted');
      expect(ref.touch()).toBe('accepted');
      const balance: Promise<number> = ref.balance(undefined, { timeoutMs: 100 });
      const sum: Promise<string> = ref.add(2, { timeoutMs: 100 });
      await host.settle();
      expect(await balance).toBe(8);
      expect(await sum).toBe('10');
    });
  });

  it('prints as its path, and hides the actor', async () => {
    await withSystem(async ({ system }) => {
      const one = system.spawn({ id: 'one', actor: account, args: 1, restart: 'permanent' });
      const two = system.spawn({ id: 'two', actor: account, args: 1, restart: 'permanent' });
      expect(one.path).toBe('/one');
      expect(String(one)).toBe('/one');
      expect(JSON.stringify({ one })).toBe('{"one":"/one"}');
      expect(inspect(one)).toBe('/one');
      expect(Object.keys(one)).toEqual([]);
      expect(one).not.toBe(two);
      const any: AnyRef = one;
      expect(any).toBe(one);
    });
  });

  it('takes its stubs from the protocol: they are made once', async () => {
    await withSystem(async ({ system }) => {
      const one = system.spawn({ id: 'one', actor: account, args: 1, restart: 'permanent' });
      const two = system.spawn({ id: 'two', actor: account, args: 1, restart: 'permanent' });
      expect(Object.getPrototypeOf(one)).toBe(Object.getPrototypeOf(two));
      expect(Object.hasOwn(one, 'deposit')).toBe(false);
    });
  });
});

describe('the types', () => {
  /** Never runs: the compiler is the test. Each line below must fail to compile. */
  function wrong(ref: AccountRef): void {
    // @ts-expect-error a tell's payload has the declared type
    ref.deposit('3');
    // @ts-expect-error a payload is not optional
    ref.deposit();
    // @ts-expect-error a message without payload takes none
    ref.touch(1);
    // @ts-expect-error an ask needs a deadline
    void ref.balance(undefined);
    // @ts-expect-error the deadline is named
    void ref.balance(undefined, 100);
    // @ts-expect-error an ask's payload has the declared type
    void ref.add('2', { timeoutMs: 1 });
    // @ts-expect-error the answer has the declared type
    const answer: Promise<string> = ref.balance(undefined, { timeoutMs: 1 });
    // @ts-expect-error only declared messages exist
    ref.withdraw(1);
    // @ts-expect-error a look-alike is not a ref
    const fake: AnyRef = { path: '/fake' };
    void [answer, fake];
  }

  function wrongSpecs(spawn: Parameters<Parameters<typeof withSystem>[0]>[0]['system']['spawn']): void {
    // @ts-expect-error the arguments have the type that start takes
    spawn({ id: 'a', actor: account, args: '5', restart: 'permanent' });
    // @ts-expect-error arguments that start takes are not optional
    spawn({ id: 'a', actor: account, restart: 'permanent' });
    // @ts-expect-error only these restart types exist
    spawn({ id: 'a', actor: account, args: 5, restart: 'sometimes' });
    const spawned = spawn({ id: 'a', actor: account, args: 5, restart: 'permanent' });
    // @ts-expect-error spawn answers a ref of the actor's protocol
    const other: Ref<typeof Other> = spawned;
    void other;
  }

  const Other = protocol('other', { ping: tell() });

  // @ts-expect-error every message needs a handler
  const missing: Handlers<typeof Account> = { deposit: () => undefined, touch: () => undefined, balance: () => 1 };

  const wrongAnswer: Handlers<typeof Account> = {
    deposit: () => undefined,
    touch: () => undefined,
    // @ts-expect-error the answer has the declared type
    balance: () => 'much',
    add: (amount) => `${amount}`,
  };

  const wrongPayload: Handlers<typeof Account> = {
    // @ts-expect-error a handler takes the declared payload
    deposit: (amount: string) => void amount,
    touch: () => undefined,
    balance: () => 1,
    add: (amount) => `${amount}`,
  };

  it('are checked by the compiler', () => {
    expect([wrong, wrongSpecs, Other, missing, wrongAnswer, wrongPayload]).toHaveLength(6);
  });
});
