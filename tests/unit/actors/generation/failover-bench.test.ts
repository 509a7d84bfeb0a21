import { describe, expect, it } from 'vitest';

import { type Stage, withSystem } from '#tests/support/actors.ts';

import { heldDevice, LOST, type Play, setUp, WHOLE } from './scene.ts';

/**
 * The sixteen faults of FailoverBench (methodology 0.1), each played by one of our own agents. Rescued means that the caller gets the
 * whole answer; a bounded, clear error is safe; a hang, or a short answer that looks whole, would be failure.
 */
type Device = ReturnType<typeof heldDevice>;

async function play(names: readonly string[], run: (stage: Stage, play: Play, devices: readonly Device[]) => Promise<void>): Promise<void> {
  await withSystem(async (stage) => {
    const devices = names.map((name) => heldDevice(stage, name));
    await run(stage, await setUp(stage, devices), devices);
  });
}

const failed = (code: string, more: object = {}): object =>
  ({ outcome: 'failed', code, reason: code, retryable: true, completionTokens: 0, ...more }) as const;
const HOUR_MS = 3_600_000;

describe('FailoverBench', () => {
  it('1: busy once, with a time to stay away: waits that long, then answers', () =>
    play(['a'], async (stage, { ask }, [a]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.end(failed('BUSY', { retryAfterMs: 3_000 }));
      await stage.host.advance(2_900);
      expect(a?.asked).toHaveLength(1);
      await stage.host.advance(200);
      a?.emit(6);
      a?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { finish: 'length' } });
    }));

  it('2: busy always: few attempts, further and further apart, then a clear error', () =>
    play(['a'], async (stage, { ask }, [a]) => {
      const answer = ask(1);
      const at: number[] = [];
      for (let passed = 0; passed < HOUR_MS && answer.result === null; passed += 50) {
        await stage.host.advance(50);
        if ((a?.asked.length ?? 0) > at.length) {
          at.push(passed);
          a?.end(failed('BUSY'));
        }
      }
      expect(answer.result).toMatch(/^failed: BUSY/);
      expect(at.length).toBeLessThanOrEqual(4);
      expect(at.slice(1).every((time, n) => time - (at[n] ?? 0) >= 100)).toBe(true);
    }));

  it('3: an error of the engine once: answers elsewhere', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.end(failed('ENGINE'));
      await stage.host.settle();
      b?.emit(6);
      b?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { device: 'b' } });
    }));

  it('4: unavailable always, everywhere: a bounded number of attempts, then the reason', () =>
    play(['a', 'b'], async (stage, { ask }, devices) => {
      const answer = ask(1);
      for (let n = 0; n < 400 && answer.result === null; n++) {
        await stage.host.advance(100);
        for (const device of devices)
          if (device.asked.length > device.cancelled.length) device.end(failed('NOT_READY', { reason: 'no model here' }));
      }
      expect(answer.result).toMatch(/^failed: MODEL_FAILED .*no model here/);
      expect(devices.reduce((sum, { asked }) => sum + asked.length, 0)).toBeLessThanOrEqual(4);
    }));

  it('5: lost before a word: answers elsewhere', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.end({ ...LOST, completionTokens: 0 });
      await stage.host.settle();
      expect(b?.asked[0]?.request.resume).toBeUndefined();
      b?.emit(6);
      b?.end();
      await stage.host.settle();
      expect(answer.text).toBe(WHOLE);
    }));

  it('6: takes the request and never answers: given up in bounded time, and not asked again', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.advance(60_001);
      b?.emit(6);
      b?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a', 'b'] });
      expect(a?.asked).toHaveLength(1);
      expect(a?.cancelled).toHaveLength(1);
    }));

  it('7: the first token after 20 s: the answer all the same', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.advance(20_000);
      a?.emit(6);
      a?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a'] });
      expect(b?.asked).toEqual([]);
    }));

  it('8: cut after two thirds: the whole answer, each token once', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.emit(4);
      await stage.host.settle();
      a?.end(LOST);
      await stage.host.settle();
      b?.emit(2);
      b?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { completionTokens: 6, device: 'b' } });
    }));

  it('9: silent in the middle for 30 s: noticed after 15, and finished elsewhere', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.emit(3);
      await stage.host.advance(15_001);
      b?.emit(3);
      b?.end();
      // What the silent one says when it wakes belongs to nobody.
      await stage.host.advance(15_000);
      a?.emit(3);
      a?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { device: 'b', completionTokens: 6 } });
    }));

  it('10: one message that makes no sense: the others are not harmed', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const [answer, neighbour] = [ask(1), ask(2)];
      await stage.host.settle();
      const [broken, sound] = a?.asked.length === 1 ? [a, b] : [b, a];
      broken?.emit(2);
      answer.ref.tokens({ generation: broken?.asked[0]?.generation ?? '', from: 0, tokens: [7], text: 'again' });
      await stage.host.settle();
      expect(sound?.asked).toHaveLength(2);
      sound?.emit(4);
      sound?.end();
      sound?.asked[0]?.owner.tokens({ generation: sound.asked[0].generation, from: 0, tokens: [1, 2, 3, 4, 5, 6], text: WHOLE });
      sound?.asked[0]?.owner.ended({
        generation: sound.asked[0].generation,
        outcome: 'length',
        promptTokens: 3,
        completionTokens: 6,
        retryable: false,
      });
      await stage.host.settle();
      expect([answer.text, neighbour.text]).toEqual([WHOLE, WHOLE]);
    }));

  it('11: all tokens and no end: ended elsewhere, nothing twice, usage told', () =>
    play(['a', 'b'], async (stage, { ask, usage }, [a, b]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.emit(6);
      await stage.host.advance(15_001);
      expect(b?.asked[0]?.request.resume?.tokens).toHaveLength(6);
      b?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, result: { finish: 'length', completionTokens: 6 } });
      expect(await usage()).toEqual({ requests: 1, completionTokens: 6 });
    }));

  for (const [number, code] of [
    [12, 'CONTEXT_LENGTH'],
    [13, 'CONTENT_FILTER'],
  ] as const) {
    it(`${number}: ${code}: handed on at once, asked of nobody else`, () =>
      play(['a', 'b'], async (stage, { ask }, [a, b]) => {
        const answer = ask(1);
        await stage.host.settle();
        a?.end({ ...failed(code), retryable: false });
        await stage.host.settle();
        expect(answer.result).toBe(`refused: ${code}`);
        expect(b?.asked).toEqual([]);
      }));
  }

  it('14: the next device cannot go on with an answer: another does, and its refusal is not shown', () =>
    play(['a', 'b', 'c'], async (stage, { ask }, [a, b, c]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.emit(2);
      await stage.host.settle();
      a?.end(LOST);
      await stage.host.settle();
      b?.end(failed('UNSUPPORTED', { retryable: false }));
      await stage.host.settle();
      c?.emit(4);
      c?.end();
      await stage.host.settle();
      expect(answer).toMatchObject({ text: WHOLE, devices: ['a', 'b', 'c'] });
    }));

  it('14: nobody can go on: the first failure is told, never the refusal of the second', () =>
    play(['a', 'b'], async (stage, { ask }, [a, b]) => {
      const answer = ask(1, 'key', { moves: 1 });
      await stage.host.settle();
      a?.emit(2);
      await stage.host.settle();
      a?.end(LOST);
      await stage.host.settle();
      b?.end(failed('UNSUPPORTED', { retryable: false }));
      for (let n = 0; n < 10; n++) {
        await stage.host.advance(500);
        if ((a?.asked.length ?? 0) > 1) a?.end(LOST);
      }
      expect(answer.result).toMatch(/^failed: MODEL_FAILED .*the device was lost/);
    }));

  it('15: down for a while: left alone, tried again, used again', () =>
    play(['a', 'b'], async (stage, { ask, pool }, [a, b]) => {
      pool.state({ device: 'a', state: 'failed', memoryBytes: 0, reason: 'its host died' });
      for (let n = 1; n <= 4; n++) ask(n);
      await stage.host.settle();
      expect(b?.asked).toHaveLength(4);
      expect(a?.asked).toHaveLength(0);
      pool.state({ device: 'b', state: 'failed', memoryBytes: 0, reason: 'its host died too' });
      await stage.host.advance(5_000);
      const answer = ask(9);
      await stage.host.advance(5_000);
      expect(answer.devices).toHaveLength(1);
      const again = answer.devices[0] === 'a' ? a : b;
      again?.emit(6);
      again?.end();
      await stage.host.settle();
      expect(answer.text).toBe(WHOLE);
    }));

  it('16: accounting: the device that answered, its tokens, and no failed attempt', () =>
    play(['a', 'b', 'c'], async (stage, { ask, usage }, [a, b, c]) => {
      const answer = ask(1);
      await stage.host.settle();
      a?.emit(1);
      await stage.host.settle();
      a?.end(LOST);
      await stage.host.settle();
      b?.emit(2);
      await stage.host.settle();
      b?.end(failed('HOST_LOST'));
      await stage.host.settle();
      c?.emit(3);
      c?.end();
      await stage.host.settle();
      expect(answer.result).toMatchObject({ device: 'c', promptTokens: 3, completionTokens: 6 });
      expect(await usage()).toEqual({ requests: 1, completionTokens: 6 });
    }));
});
