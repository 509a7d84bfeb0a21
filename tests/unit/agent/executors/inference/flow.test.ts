import { describe, expect, it } from 'vitest';

import { Credit } from '#agent/executors/inference/credit.ts';
import { Evaluating } from '#agent/executors/inference/evaluating.ts';
import { createTokenBatcher, type TokenBatch } from '#agent/executors/inference/token-batcher.ts';
import { createWatchdog } from '#agent/executors/inference/watchdog.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

describe('credit', () => {
  it('lets as many pass as were granted', async () => {
    const host = virtualHost(1);
    const credit = new Credit(2);
    let taken = 0;
    const taker = (async () => {
      for (; taken < 5; taken++) await credit.take();
    })();
    await host.settle();
    expect(taken).toBe(2);
    expect(credit.exhausted).toBe(true);
    credit.grant(1);
    await host.settle();
    expect(taken).toBe(3);
    credit.grant(10);
    await taker;
    expect(credit.exhausted).toBe(false);
  });

  it('keeps nobody waiting after it was closed', async () => {
    const credit = new Credit(0);
    const waiting = credit.take();
    credit.close();
    await waiting;
    await credit.take();
    expect(credit.exhausted).toBe(false);
  });
});

describe('the token batcher', () => {
  const setUp = () => {
    const host = virtualHost(1);
    const sent: TokenBatch[] = [];
    return { host, sent, batcher: createTokenBatcher(host, (batch) => sent.push(batch)) };
  };

  it('sends after 15 ms', async () => {
    const { host, sent, batcher } = setUp();
    batcher.add(7, 'a');
    await host.advance(14);
    batcher.add(8, 'b');
    expect(sent).toEqual([]);
    await host.advance(1);
    expect(sent).toEqual([{ from: 0, ids: [7, 8], text: 'ab' }]);
    expect(host.pendingTimers).toBe(0);
  });

  it('sends 16 tokens at once, and goes on counting', async () => {
    const { host, sent, batcher } = setUp();
    for (let id = 0; id < 17; id++) batcher.add(id, 'x');
    expect(sent).toHaveLength(1);
    expect(sent[0]?.ids).toHaveLength(16);
    await host.advance(15);
    expect(sent[1]).toEqual({ from: 16, ids: [16], text: 'x' });
    expect(host.pendingTimers).toBe(0);
  });

  it('flushes text without a token, and nothing when there is nothing', () => {
    const { sent, batcher } = setUp();
    batcher.flush();
    batcher.addText('rest');
    batcher.flush();
    batcher.flush();
    expect(sent).toEqual([{ from: 0, ids: [], text: 'rest' }]);
  });
});

describe('the watchdog', () => {
  const setUp = () => {
    const host = virtualHost(1);
    const barks: number[] = [];
    return { host, barks, dog: createWatchdog(host, 1000, () => barks.push(host.clock.now())) };
  };

  it('sleeps until it is armed', async () => {
    const { host, barks } = setUp();
    await host.advance(10_000);
    expect(barks).toEqual([]);
    expect(host.pendingTimers).toBe(0);
  });

  it('notices silence once', async () => {
    const { host, barks, dog } = setUp();
    dog.arm();
    await host.advance(999);
    expect(barks).toEqual([]);
    await host.advance(10_000);
    expect(barks).toHaveLength(1);
    expect(host.pendingTimers).toBe(0);
  });

  it('counts from the last sign of life', async () => {
    const { host, barks, dog } = setUp();
    dog.arm();
    for (let i = 0; i < 20; i++) {
      await host.advance(900);
      dog.arm();
      dog.feed();
    }
    expect(barks).toEqual([]);
    const fed = host.clock.now();
    await host.advance(5000);
    expect(barks).toEqual([fed + 1000]);
  });

  it('sleeps again when it is disarmed, and wakes again', async () => {
    const { host, barks, dog } = setUp();
    dog.arm();
    await host.advance(500);
    dog.disarm();
    expect(host.pendingTimers).toBe(0);
    await host.advance(5000);
    expect(barks).toEqual([]);
    dog.arm();
    await host.advance(999);
    expect(barks).toEqual([]);
    dog.disarm();
  });
});

describe('the count of evaluations', () => {
  const setUp = () => {
    const host = virtualHost(1);
    const ticks: number[] = [];
    return { host, ticks, evaluating: new Evaluating(host, (count) => ticks.push(count)) };
  };

  it('is told when work begins and when it has really ended', async () => {
    const { host, ticks, evaluating } = setUp();
    for (let token = 0; token < 50; token++) await evaluating.during(Promise.resolve(token));
    expect(ticks).toEqual([1]);
    await host.settle();
    expect(ticks).toEqual([1, 0]);
  });

  it('is repeated with each batch, but not more often than every 250 ms', async () => {
    const { host, ticks, evaluating } = setUp();
    const work = Promise.withResolvers<void>();
    const done = evaluating.during(work.promise);
    for (let batch = 0; batch < 100; batch++) {
      await host.advance(10);
      evaluating.batch();
    }
    expect(ticks).toEqual([1, 1, 1, 1, 1]);
    work.resolve();
    await done;
    await host.settle();
    expect(ticks.at(-1)).toBe(0);
  });

  it('comes down when work fails', async () => {
    const { host, ticks, evaluating } = setUp();
    await expect(evaluating.during(Promise.reject(new Error('no')))).rejects.toThrow('no');
    await host.settle();
    expect(ticks).toEqual([1, 0]);
  });
});
