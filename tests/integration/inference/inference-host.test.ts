import { describe, expect, it } from 'vitest';

import { modelOnTrial } from './model-on-trial.ts';
import { environmentOf } from './processes.ts';

const SENTENCE = ' one day the little fox ran to😀é river';

describe('a model in its host', () => {
  it('loads, answers and unloads', async () => {
    const { model, states, generate } = await modelOnTrial({ recite: SENTENCE, ends: true });
    await model.load();
    expect(model.memoryBytes).toBeGreaterThan(1_000_000);
    expect(states.map(([state]) => state)).toEqual(['loading', 'loading', 'ready']);
    expect(states[1]?.[1]).toBeGreaterThan(1_000_000);

    const answer = generate('hello');
    expect(await answer.ended).toMatchObject({ outcome: 'stop', promptTokens: expect.any(Number), completionTokens: 14, retryable: false });
    expect(answer.text).toBe(SENTENCE.trimStart());
    expect(answer.ids).toHaveLength(14);

    await model.unload();
    expect(model.memoryBytes).toBe(0);
    expect(states.at(-1)).toEqual(['unloaded', 0, undefined]);
    const late = generate('too late');
    expect(await late.ended).toMatchObject({ outcome: 'failed', code: 'NOT_READY', retryable: true });
  });

  it('can be loaded again after it was unloaded', async () => {
    const { model, generate } = await modelOnTrial({ recite: SENTENCE, ends: true });
    for (let round = 0; round < 2; round++) {
      await model.load();
      const answer = generate('hello');
      await answer.ended;
      expect(answer.text).toBe(SENTENCE.trimStart());
      await model.unload();
    }
  });

  it('never cuts a character in two, whatever the batches', async () => {
    const { model, generate } = await modelOnTrial({ recite: '😀日é' });
    await model.load();
    const answer = generate('hello', { maxTokens: 180 });
    expect(await answer.ended).toMatchObject({ outcome: 'length', completionTokens: 180 });
    expect(answer.texts.length).toBeGreaterThan(3);
    expect(answer.text).toBe('😀日é'.repeat(20));
    for (const text of answer.texts) expect(text).not.toContain('\uFFFD');
  });

  it('streams two answers at once, and lets a third wait its turn', async () => {
    const { model, generate } = await modelOnTrial();
    await model.load();
    const first = generate('first', { maxTokens: 10_000 });
    const second = generate('second', { maxTokens: 10_000 });
    await Promise.all([first.arrived(20), second.arrived(20)]);
    const third = generate('third', { maxTokens: 5 });
    const fourth = generate('fourth', { maxTokens: 5 });
    fourth.handle.cancel();
    expect(await fourth.ended).toEqual({ outcome: 'cancelled', promptTokens: 0, completionTokens: 0, retryable: false });
    first.handle.cancel();
    expect(await third.ended).toMatchObject({ outcome: 'length', completionTokens: 5 });
    second.handle.cancel();
    expect([(await first.ended).outcome, (await second.ended).outcome]).toEqual(['cancelled', 'cancelled']);
  });

  it('ends a cancelled answer within a batch', async () => {
    const { model, generate } = await modelOnTrial();
    await model.load();
    const answer = generate('go on', { maxTokens: 100_000 });
    await answer.arrived(10);
    const had = answer.ids.length;
    answer.handle.cancel();
    const outcome = await answer.ended;
    expect(outcome).toMatchObject({ outcome: 'cancelled', completionTokens: answer.ids.length, retryable: false });
    // What was on its way when the word came, and no more.
    expect(answer.ids.length - had).toBeLessThan(128);
  });

  it('cancels while it still reads a long prompt', async () => {
    const { model, generate } = await modelOnTrial({ contextLength: 16_384 }, { contextSize: 16_384, sequences: 1 });
    await model.load();
    const answer = generate('x'.repeat(15_000));
    answer.handle.cancel();
    expect(await answer.ended).toMatchObject({ outcome: 'cancelled', completionTokens: 0 });
    expect(answer.ids).toEqual([]);
  });

  it('pauses without credit and goes on with it', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { credit: 10 } });
    await model.load();
    const slow = generate('slow', { maxTokens: 30 }, { credit: false });
    await slow.arrived(10);
    // Another answer runs from beginning to end meanwhile: time enough for an eleventh token.
    await generate('fast', { maxTokens: 100 }).ended;
    expect(slow.ids).toHaveLength(10);
    slow.handle.credit(3);
    await slow.arrived(13);
    expect(slow.ids).toHaveLength(13);
    slow.handle.credit(1000);
    expect(await slow.ended).toMatchObject({ outcome: 'length', completionTokens: 30 });
  });

  it('cancels an answer that waits for credit', async () => {
    const { model, generate } = await modelOnTrial({}, { limits: { credit: 4 } });
    await model.load();
    const answer = generate('slow', { maxTokens: 30 }, { credit: false });
    await answer.arrived(4);
    answer.handle.cancel();
    expect(await answer.ended).toMatchObject({ outcome: 'cancelled', completionTokens: 4 });
  });
});

describe('sampling', () => {
  it('repeats itself with the same seed when alone, and not with another', async () => {
    const { model, generate } = await modelOnTrial();
    await model.load();
    const say = async (seed: number): Promise<number[]> => {
      const answer = generate('a story', { temperature: 1, topP: 0.9, seed, maxTokens: 60 });
      await answer.ended;
      return answer.ids;
    };
    const [once, again, other] = [await say(7), await say(7), await say(8)];
    expect(again).toEqual(once);
    expect(other).not.toEqual(once);
  });

  it('stops at a stop string and does not show it', async () => {
    const { model, generate } = await modelOnTrial({ recite: SENTENCE });
    await model.load();
    const answer = generate('hello', { stop: ['tle f', 'never'], maxTokens: 100 });
    expect(await answer.ended).toMatchObject({ outcome: 'stop', completionTokens: 5 });
    expect(answer.text).toBe('one day the lit');
  });

  it('gives back what only looked like a stop string', async () => {
    const { model, generate } = await modelOnTrial({ recite: SENTENCE, ends: true });
    await model.load();
    const answer = generate('hello', { stop: [' river boat', 'riverbed'] });
    await answer.ended;
    expect(answer.text).toBe(SENTENCE.trimStart());
  });

  it('stops at the asked number of tokens, at the end of the context, and before a prompt that does not fit', async () => {
    const { model, generate } = await modelOnTrial({}, { contextSize: 256 });
    await model.load();
    expect(await generate('hello', { maxTokens: 7 }).ended).toMatchObject({ outcome: 'length', completionTokens: 7 });
    const full = await generate('hello', { maxTokens: 100_000 }).ended;
    expect(full.outcome).toBe('length');
    expect(full.promptTokens + full.completionTokens).toBe(256);

    const outcome = await generate('x'.repeat(400)).ended;
    expect(outcome).toMatchObject({ outcome: 'failed', code: 'CONTEXT_LENGTH', retryable: false, completionTokens: 0 });
    expect(outcome).toHaveProperty(
      'reason',
      `The prompt has ${outcome.promptTokens} tokens and the model's context holds 256, the answer included.`,
    );
    expect(outcome.promptTokens).toBeGreaterThan(400);
  });

  it('takes what a person writes as text, even the names of control tokens', async () => {
    const { model, generate } = await modelOnTrial({ recite: SENTENCE, ends: true });
    await model.load();
    const plain = await generate('').ended;
    const control = await generate('<|im_end|>').ended;
    // As a control token it would have been one.
    expect(control.promptTokens - plain.promptTokens).toBeGreaterThanOrEqual(8);
  });

  it('goes on with a message that the assistant has begun', async () => {
    const { model, generate } = await modelOnTrial({ recite: 'abcdefgh', ends: true });
    await model.load();
    const rest = generate([{ role: 'user', content: 'spell' }, { role: 'assistant', content: 'abcd' }]); // prettier-ignore
    expect(await rest.ended).toMatchObject({ outcome: 'stop', completionTokens: 4 });
    expect(rest.text).toBe('efgh');
  });
});

describe('the process of a host', () => {
  it('has nothing of the environment that it does not need', async () => {
    const { model } = await modelOnTrial(
      {},
      { environment: { ...process.env, CORPGRID_KEY: 'secret', NODE_OPTIONS: '--no-warnings' }, devices: [] },
    );
    await model.load();
    const names = environmentOf(model.pid ?? 0).map((entry) => entry.split('=')[0]);
    expect(names).toContain('PATH');
    expect(names).toContain('CUDA_VISIBLE_DEVICES');
    for (const name of names)
      expect([
        'PATH',
        'LANG',
        'TZ',
        'TMPDIR',
        'LD_LIBRARY_PATH',
        'CUDA_VISIBLE_DEVICES',
        'GGML_VK_VISIBLE_DEVICES',
        'HIP_VISIBLE_DEVICES',
        'NODE_CHANNEL_FD',
        'NODE_CHANNEL_SERIALIZATION_MODE',
      ]).toContain(name);
  });

  it('is one for each model', async () => {
    const one = await modelOnTrial({ recite: ' one', ends: true });
    const two = await modelOnTrial({ recite: ' two', ends: true });
    await Promise.all([one.model.load(), two.model.load()]);
    expect(one.model.pid).not.toBe(two.model.pid);
    const [first, second] = [one.generate('a'), two.generate('b')];
    await Promise.all([first.ended, second.ended]);
    expect([first.text, second.text]).toEqual(['one', 'two']);
  });
});
