import { describe, expect, it } from 'vitest';
import { ActorClosed, ActorCrashed, AskTimeout, MailboxFull, Refusal } from '#runtime/kernel/errors.ts';
import { ActorRef } from '#runtime/kernel/ref.ts';
import { withSystem } from '#tests/support/actors.ts';
import { probeActor } from '#tests/support/probe-actor.ts';

/** What a promise came to, without leaving a rejection unhandled meanwhile. */
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => value,
    (error: unknown) => error,
  );
}

describe('an ask', () => {
  it('is answered by a handler, sync or async', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      const answers = [ref.echo('sync', { timeoutMs: 10 }), ref.waitFor(Promise.resolve('async'), { timeoutMs: 10 })];
      await host.settle();
      expect(await Promise.all(answers)).toEqual(['sync', 'async']);
    });
  });

  it("ends with the handler's refusal as it is, and the actor lives on", async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      const refusal = new Refusal('NO', 'no', { path: 'x', fix: 'y' });
      const refused = outcome(ref.refuse('not today', { timeoutMs: 10 }));
      const refusedLater = outcome(ref.waitFor(Promise.reject(refusal), { timeoutMs: 10 }));
      const answered = ref.echo('still here', { timeoutMs: 10 });
      await host.settle();
      expect(await refused).toMatchObject({ code: 'TEST_REFUSAL', message: 'not today' });
      expect(await refusedLater).toBe(refusal);
      expect(await answered).toBe('still here');
      expect(system.inspect().children).toMatchObject([{ restarts: 0, handled: 3 }]);
    });
  });

  it('ends with AskTimeout at its deadline, not before; the late answer is ignored', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      const { promise, resolve } = Promise.withResolvers<string>();
      let ended: unknown;
      void outcome(ref.waitFor(promise, { timeoutMs: 250 })).then((result) => (ended = result));
      await host.advance(249);
      expect(ended).toBeUndefined();
      await host.advance(1);
      expect(ended).toBeInstanceOf(AskTimeout);
      expect(ended).toMatchObject({ code: 'ASK_TIMEOUT', message: "/a did not answer 'waitFor' within 250 ms" });
      resolve('too late');
      const next = ref.echo('next', { timeoutMs: 10 });
      await host.settle();
      expect(await next).toBe('next');
    });
  });

  it('times out while it is queued too, and is handled nevertheless', async () => {
    await withSystem(async ({ host, system }) => {
      const log: string[] = [];
      const ref = system.spawn({ id: 'a', actor: probeActor({ log }), restart: 'permanent' });
      const { promise, resolve } = Promise.withResolvers<string>();
      ref.wait(promise);
      const queued = outcome(ref.echo('queued', { timeoutMs: 20 }));
      await host.advance(20);
      expect(await queued).toBeInstanceOf(AskTimeout);
      resolve('go');
      await host.settle();
      expect(system.accounting()).toMatchObject({ handled: 2, queued: 0 });
    });
  });

  it('with no time left is not sent', async () => {
    await withSystem(async ({ system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      expect(await outcome(ref.echo('x', { timeoutMs: 0 }))).toBeInstanceOf(AskTimeout);
      expect(await outcome(ref.echo('x', { timeoutMs: -5 }))).toBeInstanceOf(AskTimeout);
      expect(system.accounting().sent).toBe(0);
    });
  });

  it.each([Number.NaN, Infinity])('with a deadline of %d is a mistake of the asker', async (timeoutMs) => {
    await withSystem(async ({ system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      expect(await outcome(ref.echo('x', { timeoutMs }))).toBeInstanceOf(RangeError);
      expect(system.accounting().sent).toBe(0);
    });
  });

  it('ends with MailboxFull when there is no room', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent', mailbox: { capacity: 1 } });
      const fits = ref.echo('fits', { timeoutMs: 10 });
      const full = await outcome(ref.echo('full', { timeoutMs: 10 }));
      expect(full).toBeInstanceOf(MailboxFull);
      expect(full).toMatchObject({ code: 'MAILBOX_FULL' });
      expect(deadLetters).toMatchObject([{ message: 'echo', reason: 'full', payload: 'full' }]);
      await host.settle();
      expect(await fits).toBe('fits');
    });
  });

  it('ends with ActorClosed when the actor has ended, or ends before its turn', async () => {
    await withSystem(async ({ host, system, deadLetters }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'temporary' });
      ref.stop();
      const queued = outcome(ref.echo('queued', { timeoutMs: 10 }));
      await host.settle();
      expect(await queued).toBeInstanceOf(ActorClosed);
      expect(await outcome(ref.echo('late', { timeoutMs: 10 }))).toMatchObject({ code: 'ACTOR_CLOSED' });
      expect(deadLetters).toMatchObject([
        { reason: 'stopped', payload: 'queued' },
        { reason: 'closed', payload: 'late' },
      ]);
    });
  });

  it('ends with ActorCrashed when its own handler crashes, sync or async; queued asks survive', async () => {
    await withSystem(async ({ host, system, deadLetters, takeCrashes }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent' });
      const crashed = outcome(ref.crashAnswering('boom', { timeoutMs: 1_000 }));
      const survives = outcome(ref.echo('survives', { timeoutMs: 1_000 }));
      const { promise, reject } = Promise.withResolvers<string>();
      const crashedLater = outcome(ref.waitFor(promise, { timeoutMs: 1_000 }));
      await host.advance(500);
      reject(new Error('bang'));
      await host.settle();
      expect(await crashed).toBeInstanceOf(ActorCrashed);
      expect(await crashed).toMatchObject({ code: 'ACTOR_CRASHED', cause: { message: 'boom' } });
      expect(await survives).toBe('survives');
      expect(await crashedLater).toMatchObject({ code: 'ACTOR_CRASHED', cause: { message: 'bang' } });
      expect(deadLetters).toMatchObject([
        { reason: 'crashed', message: 'crashAnswering', error: { message: 'boom' } },
        { reason: 'crashed', message: 'waitFor', error: { message: 'bang' } },
      ]);
      expect(takeCrashes()).toHaveLength(2);
    });
  });

  it('a refusal thrown by a tell is a crash: nobody is there to take it', async () => {
    await withSystem(async ({ host, system, takeCrashes }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'temporary' });
      ref.act(() => {
        throw new Refusal('NO', 'to whom?');
      });
      await host.settle();
      expect(takeCrashes()).toMatchObject([{ message: 'act', error: { code: 'NO' } }]);
    });
  });

  it('of 10,000 pending needs one timer of the host', async () => {
    await withSystem(async ({ host, system }) => {
      const ref = system.spawn({ id: 'a', actor: probeActor({ log: [] }), restart: 'permanent', mailbox: { capacity: 20_000 } });
      const asks = Array.from({ length: 10_000 }, (_, i) => outcome(ref.echo(`${i}`, { timeoutMs: 1_000 + i })));
      expect(host.pendingTimers).toBe(1);
      await host.settle();
      expect((await Promise.all(asks)).at(-1)).toBe('9999');
      expect(ActorRef.cellOf(ref).kernel.wheel.size).toBe(0);
    });
  });
});
