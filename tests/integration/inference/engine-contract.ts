import { randomUUID } from 'node:crypto';

import { expect, it, onTestFinished } from 'vitest';

import type { GenerationRequest } from '#actors/contract/generation.ts';
import type { EngineEvents, EngineProcess, StartEngine } from '#agent/executors/inference/engine-process.ts';
import type { FromHost, GenerationEnd, LoadOptions } from '#agent/executors/inference/host-protocol.ts';

import { sampling } from './model-on-trial.ts';

/** What a test of the port needs of one engine. */
export interface EngineOnTrial {
  readonly start: StartEngine;
  readonly load: LoadOptions;
  /** It tells tokens, and so takes answers over. */
  readonly tokens: boolean;
}

interface Answer {
  readonly id: string;
  readonly ids: number[];
  text: string;
  readonly ended: Promise<GenerationEnd>;
}

interface Driven {
  readonly process: EngineProcess;
  readonly messages: FromHost[];
  readonly exited: Promise<string>;
  next<T extends FromHost['type']>(type: T): Promise<Extract<FromHost, { type: T }>>;
  generate(request: Partial<GenerationRequest>, credit?: number): Answer;
}

function drive(start: StartEngine): Driven {
  const messages: FromHost[] = [];
  const waiting = new Map<string, (message: FromHost) => void>();
  const answers = new Map<string, Answer & { end(how: GenerationEnd): void; at: number }>();
  const exit = Promise.withResolvers<string>();
  const events: EngineEvents = {
    onMessage(message) {
      messages.push(message);
      waiting.get(message.type)?.(message);
      if (message.type === 'tokens') {
        const answer = answers.get(message.id);
        if (answer === undefined) throw new Error('tokens of nobody');
        expect(message.from).toBe(answer.at);
        answer.at += message.ids.length;
        answer.ids.push(...message.ids);
        answer.text += message.text;
      } else if (message.type === 'ended') answers.get(message.id)?.end(message.end);
    },
    onNonsense: (reason) => exit.resolve(`nonsense: ${reason}`),
    onLine() {},
    onExit: exit.resolve,
  };
  const process = start(events);
  onTestFinished(async () => {
    process.kill();
    await exit.promise;
  });
  return {
    process,
    messages,
    exited: exit.promise,
    next: (type) =>
      new Promise((resolve) => {
        waiting.set(type, (message) => resolve(message as never));
      }),
    generate(request, credit = 100_000) {
      const id = randomUUID();
      const ended = Promise.withResolvers<GenerationEnd>();
      const question = request.prompt === undefined ? { messages: [{ role: 'user' as const, content: 'Tell me of a lighthouse' }] } : {};
      const whole: GenerationRequest = { ...question, sampling: sampling({ maxTokens: 12 }), ...request };
      const answer = { id, ids: [], text: '', ended: ended.promise, end: ended.resolve, at: request.resume?.tokens.length ?? 0 };
      answers.set(id, answer);
      process.send({ type: 'generate', id, request: whole, credit });
      return answer;
    },
  };
}

async function loaded({ start, load }: EngineOnTrial): Promise<Driven> {
  const driven = drive(start);
  const ready = driven.next('loaded');
  driven.process.send({ type: 'load', options: load });
  expect((await ready).contextSize).toBeGreaterThanOrEqual(load.contextSize);
  return driven;
}

/** What every engine promises to the agent, whatever computes the answers. */
export function engineContract(trial: () => Promise<EngineOnTrial>): void {
  it('answers a chat, counts its tokens and ends once', async () => {
    const on = await trial();
    const driven = await loaded(on);
    const answer = driven.generate({});
    const end = await answer.ended;
    expect(end).toMatchObject({ outcome: 'length', completionTokens: 12 });
    expect(end.promptTokens).toBeGreaterThan(0);
    expect(answer.text.length).toBeGreaterThan(0);
    expect(answer.ids.length).toBe(on.tokens ? 12 : 0);
    expect(driven.messages.filter((m) => m.type === 'accepted')).toHaveLength(1);
    expect(driven.messages.filter((m) => m.type === 'ended')).toHaveLength(1);
  });

  it('gives the same answer to the same seed, and another to another', async () => {
    const driven = await loaded(await trial());
    const texts: string[] = [];
    for (const seed of [3, 3, 4]) {
      const answer = driven.generate({ sampling: sampling({ maxTokens: 16, temperature: 1.5, seed }) });
      await answer.ended;
      texts.push(answer.text);
    }
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).not.toBe(texts[0]);
  });

  it('ends before a stop string and never shows it', async () => {
    const driven = await loaded(await trial());
    const whole = driven.generate({});
    await whole.ended;
    const stop = whole.text.slice(5, 8);
    const answer = driven.generate({ sampling: sampling({ maxTokens: 12, stop: [stop] }) });
    expect(await answer.ended).toMatchObject({ outcome: 'stop' });
    expect(answer.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  });

  it('ends a cancelled one soon and goes on with others', async () => {
    const on = await trial();
    const driven = await loaded(on);
    const long = driven.generate({ sampling: sampling({ maxTokens: 800, temperature: 1.5 }) }, 3);
    await driven.next('tokens');
    driven.process.send({ type: 'cancel', id: long.id });
    expect(await long.ended).toMatchObject({ outcome: 'cancelled' });
    expect(await driven.generate({}).ended).toMatchObject({ outcome: 'length' });
  });

  it('waits for credit', async () => {
    const driven = await loaded(await trial());
    const slow = driven.generate({}, 0);
    const quick = driven.generate({});
    await quick.ended;
    expect(driven.messages.filter((m) => m.type === 'ended')).toHaveLength(1);
    driven.process.send({ type: 'credit', id: slow.id, tokens: 100 });
    expect(await slow.ended).toMatchObject({ outcome: 'length' });
    expect(slow.text).toBe(quick.text);
  });

  it('says what is wrong with a request, and that asking elsewhere is no help', async () => {
    const driven = await loaded(await trial());
    const tooLong = driven.generate({ messages: [{ role: 'user', content: 'lighthouse '.repeat(3_000) }] });
    expect(await tooLong.ended).toMatchObject({ outcome: 'failed', code: 'CONTEXT_LENGTH' });
  });

  it('holds an answer to a schema', async () => {
    const driven = await loaded(await trial());
    const grammar = 'root ::= "{\\"n\\": " [0-9] [0-9] "}"';
    const schema = {
      type: 'object',
      properties: { n: { type: 'integer', minimum: 10, maximum: 99 } },
      required: ['n'],
      additionalProperties: false,
    };
    const answer = driven.generate({ grammar, jsonSchema: JSON.stringify(schema), sampling: sampling({ maxTokens: 60 }) });
    expect(await answer.ended).toMatchObject({ outcome: 'stop' });
    expect(JSON.parse(answer.text)).toEqual({ n: expect.any(Number) });
  });

  it('goes on behind the tokens of another device', async () => {
    const on = await trial();
    const driven = await loaded(on);
    const whole = driven.generate({});
    await whole.ended;
    const resume = { tokens: whole.ids.slice(0, 5), textLength: 2 };
    const rest = driven.generate({ resume });
    if (!on.tokens) {
      expect(await driven.generate({ resume: { tokens: [1], textLength: 2 } }).ended).toMatchObject({
        outcome: 'failed',
        code: 'UNSUPPORTED',
      });
      return;
    }
    expect(await rest.ended).toMatchObject({ outcome: 'length', completionTokens: 12 });
    expect([...resume.tokens, ...rest.ids]).toEqual(whole.ids);
    expect(whole.text.slice(0, 2) + rest.text).toBe(whole.text);
  });

  it('ends when it is told to unload, and says so once', async () => {
    const driven = await loaded(await trial());
    driven.process.send({ type: 'unload' });
    expect(await driven.exited).not.toContain('nonsense');
  });

  it('ends when it is killed in the middle of an answer', async () => {
    const driven = await loaded(await trial());
    driven.generate({ sampling: sampling({ maxTokens: 800, temperature: 1.5 }) }, 2);
    await driven.next('tokens');
    driven.process.kill();
    await driven.exited;
    const count = driven.messages.length;
    driven.process.send({ type: 'unload' });
    expect(driven.messages).toHaveLength(count);
  });
}
