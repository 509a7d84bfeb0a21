import { describe, expect, it } from 'vitest';

import { withSystem } from '#tests/support/actors.ts';

import { heldDevice, LOST, setUp, uuid, WHOLE } from './scene.ts';

describe('a generation that moves', () => {
  it('goes on behind the last token when its device is lost, and is counted once', async () => {
    await withSystem(async (stage) => {
      const [a, b] = [heldDevice(stage, 'a'), heldDevice(stage, 'b')];
      const play = await setUp(stage, [a, b]);
      const answer = play.ask(1);
      await stage.host.settle();
      a.emit(2);
      await stage.host.settle();
      a.end(LOST);
      await stage.host.settle();
      expect(b.asked).toHaveLength(1);
      expect(b.asked[0]?.generation).not.toBe(a.asked[0]?.generation);
      expect(b.asked[0]?.request.resume).toEqual({ tokens: [100, 101], textLength: 'one two'.length });
      // Whatever the lost device still says belongs to nobody.
      a.emit(3);
      b.emit(4);
      b.end();
      await stage.host.settle();
      expect(answer.text).toBe(WHOLE);
      expect(answer.devices).toEqual(['a', 'b']);
      expect(answer.result).toMatchObject({ finish: 'length', device: 'b', promptTokens: 3, completionTokens: 6 });
      expect(await play.usage()).toEqual({ requests: 1, completionTokens: 6 });
    });
  });

  it('stays with an engine that tells no tokens, and fails rather than say something twice', async () => {
    await withSystem(async (stage) => {
      const [a, b] = [heldDevice(stage, 'a'), heldDevice(stage, 'b')];
      const play = await setUp(stage, [a, b]);
      const answer = play.ask(1);
      await stage.host.settle();
      for (const text of ['one', ' two']) answer.ref.tokens({ generation: uuid(1), from: 0, tokens: [], text });
      play.pool.draining({ device: 'a', on: true });
      answer.ref.leave(uuid(1));
      await stage.host.settle();
      expect(b.asked).toHaveLength(0);
      a.end(LOST);
      await stage.host.settle();
      expect(answer.text).toBe('one two');
      expect(answer.result).toContain('its engine tells no tokens');
      expect(b.asked).toHaveLength(0);
      expect(await play.usage()).toEqual({ requests: 1, completionTokens: 2 });
    });
  });

  it('gives up after three moves, with a clear error and what it used', async () => {
    await withSystem(async (stage) => {
      const devices = ['a', 'b', 'c', 'd', 'e'].map((name) => heldDevice(stage, name));
      const play = await setUp(stage, devices);
      const answer = play.ask(1);
      for (const device of devices) {
        await stage.host.settle();
        device.emit(1);
        await stage.host.settle();
        device.end(LOST);
      }
      await stage.host.settle();
      expect(answer.result).toMatch(/^failed: MODEL_FAILED .*the device was lost/);
      expect(answer.devices).toEqual(['a', 'b', 'c', 'd']);
      expect(answer.text).toBe('one two three four');
      expect(await play.usage()).toEqual({ requests: 1, completionTokens: 4 });
    });
  });

  it('leaves a drained device only once another is found, and stays when there is none', async () => {
    await withSystem(async (stage) => {
      const [a, b] = [heldDevice(stage, 'a'), heldDevice(stage, 'b')];
      const play = await setUp(stage, [a]);
      const answer = play.ask(1);
      await stage.host.settle();
      a.emit(1);
      answer.ref.leave(uuid(1));
      await stage.host.settle();
      a.emit(1);
      await stage.host.settle();
      expect(answer.text).toBe('one two');
      expect(a.cancelled).toEqual([]);
      play.pool.offered({ device: 'b', ref: b.ref, capacity: 1 });
      play.pool.state({ device: 'b', state: 'ready', memoryBytes: 1 });
      play.pool.draining({ device: 'a', on: true });
      answer.ref.leave(uuid(1));
      await stage.host.settle();
      expect(a.cancelled).toEqual([uuid(1)]);
      expect(b.asked[0]?.request.resume?.tokens).toEqual([100, 101]);
      b.emit(4);
      b.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a', 'b'], result: { finish: 'length', device: 'b' } });
    });
  });

  it('stays with a suspect device that comes back before another is found', async () => {
    await withSystem(async (stage) => {
      const a = heldDevice(stage, 'a');
      const b = heldDevice(stage, 'b');
      const play = await setUp(stage, [a, b], 1);
      const answer = play.ask(1);
      const other = play.ask(2);
      await stage.host.settle();
      expect([answer.devices, other.devices]).toEqual([['a'], ['b']]);
      answer.ref.leave(uuid(1));
      await stage.host.settle();
      answer.ref.back(uuid(1));
      b.end();
      await stage.host.settle();
      a.emit(6);
      a.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a'], result: { device: 'a' } });
      expect(b.asked).toHaveLength(1);
      const { replicas } = await play.pool.report(undefined, { timeoutMs: 1_000 });
      expect(replicas.map(({ active }) => active)).toEqual([0, 0]);
    });
  });

  it('waits as long as a busy replica asks, and no tight loop', async () => {
    await withSystem(async (stage) => {
      const a = heldDevice(stage, 'a');
      const play = await setUp(stage, [a]);
      const answer = play.ask(1);
      await stage.host.settle();
      a.end({ outcome: 'failed', code: 'BUSY', reason: 'too many', retryAfterMs: 4_000, retryable: true, completionTokens: 0 });
      await stage.host.advance(3_900);
      expect(a.asked).toHaveLength(1);
      await stage.host.advance(200);
      expect(a.asked).toHaveLength(2);
      a.emit(6);
      a.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { finish: 'length' } });
    });
  });

  it('leaves a replica that falls silent, before the first token and between tokens', async () => {
    await withSystem(async (stage) => {
      const [a, b, c] = [heldDevice(stage, 'a'), heldDevice(stage, 'b'), heldDevice(stage, 'c')];
      const play = await setUp(stage, [a, b, c]);
      const answer = play.ask(1, 'key', { firstTokenMs: 1_000, silenceMs: 500 });
      await stage.host.advance(1_001);
      expect(a.cancelled).toEqual([uuid(1)]);
      b.emit(3);
      await stage.host.advance(501);
      expect(c.asked[0]?.request.resume?.tokens).toEqual([100, 101, 102]);
      c.emit(3);
      c.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a', 'b', 'c'] });
    });
  });

  it('takes a gap in the tokens for what it is', async () => {
    await withSystem(async (stage) => {
      const [a, b] = [heldDevice(stage, 'a'), heldDevice(stage, 'b')];
      const play = await setUp(stage, [a, b]);
      const answer = play.ask(1);
      await stage.host.settle();
      a.emit(1);
      answer.ref.tokens({ generation: uuid(1), from: 5, tokens: [9], text: 'wrong' });
      await stage.host.settle();
      b.emit(5);
      b.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a', 'b'] });
    });
  });

  it('hands on at once what no device can mend', async () => {
    await withSystem(async (stage) => {
      const [a, b] = [heldDevice(stage, 'a'), heldDevice(stage, 'b')];
      const play = await setUp(stage, [a, b]);
      const answer = play.ask(1);
      await stage.host.settle();
      a.end({ outcome: 'failed', code: 'CONTEXT_LENGTH', retryable: false, completionTokens: 0 });
      await stage.host.settle();
      expect(answer.result).toBe('refused: CONTEXT_LENGTH');
      expect(b.asked).toEqual([]);
    });
  });

  it('asks the next device when one cannot do what the request asks, which is no move', async () => {
    await withSystem(async (stage) => {
      const old = ['a', 'b', 'c', 'd', 'e'].map((name) => heldDevice(stage, name));
      const able = heldDevice(stage, 'f');
      const play = await setUp(stage, [...old, able]);
      const answer = play.ask(1);
      for (const device of old) {
        await stage.host.settle();
        device.end({ outcome: 'failed', code: 'UNSUPPORTED', reason: 'too old', retryable: true, completionTokens: 0 });
      }
      await stage.host.settle();
      able.emit(6);
      able.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { finish: 'length', device: 'f' } });
    });
  });

  it('is refused as unsupported when no device can do it', async () => {
    await withSystem(async (stage) => {
      const devices = ['a', 'b'].map((name) => heldDevice(stage, name));
      const play = await setUp(stage, devices);
      const answer = play.ask(1);
      for (const device of devices) {
        await stage.host.settle();
        device.end({ outcome: 'failed', code: 'UNSUPPORTED', reason: 'too old', retryable: device.name === 'a', completionTokens: 0 });
      }
      await stage.host.settle();
      expect(answer.result).toBe('refused: UNSUPPORTED');
      expect(devices.map(({ asked }) => asked.length)).toEqual([1, 1]);
    });
  });
});

describe('the queue between keys', () => {
  it('lets a key that has nothing running have a slot of the one that has all, whose answer goes on later', async () => {
    await withSystem(async (stage) => {
      const a = heldDevice(stage, 'a');
      const play = await setUp(stage, [a], 1);
      const hog = [1, 2, 3].map((n) => play.ask(n, 'hog'));
      await stage.host.settle();
      a.emit(2);
      await stage.host.settle();
      const light = play.ask(9, 'light');
      await stage.host.settle();
      expect(a.cancelled).toEqual([uuid(1)]);
      expect(a.asked.at(-1)?.generation).toBe(uuid(9));
      for (let n = 0; n < 4; n++) {
        await stage.host.settle();
        a.emit(6 - (a.asked.at(-1)?.request.resume?.tokens.length ?? 0));
        a.end();
      }
      await stage.host.settle();
      for (const answer of [...hog, light])
        expect(answer).toMatchObject({ text: WHOLE, result: { finish: 'length', completionTokens: 6 } });
    });
  });

  it('frees the slot of a client that leaves, waiting or served', async () => {
    await withSystem(async (stage) => {
      const a = heldDevice(stage, 'a');
      const play = await setUp(stage, [a], 1);
      const answers = [1, 2, 3].map((n) => play.ask(n));
      await stage.host.settle();
      answers[1]?.ref.cancel();
      answers[0]?.ref.cancel();
      await stage.host.settle();
      expect(a.cancelled).toEqual([uuid(1)]);
      expect(a.asked.map(({ generation }) => generation)).toEqual([uuid(1), uuid(3)]);
      a.emit(6);
      a.end();
      await stage.host.settle();
      expect(answers.map(({ result }) => (typeof result === 'string' ? result : result?.finish))).toEqual([
        'cancelled',
        'cancelled',
        'length',
      ]);
    });
  });
});
