import { describe, expect, it } from 'vitest';

import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import { GenerationLogs, KEEP_MS, UNCLAIMED_MS } from '#agent/models/generation-logs.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

const REQUEST: GenerationRequest = { prompt: 'x', sampling: { maxTokens: 6, temperature: 0, topP: 1, seed: 1, stop: [] } };

function scene() {
  const host = virtualHost(1);
  const sent: FromAgent[] = [];
  const cancelled: string[] = [];
  let taken = 0;
  const logs = new GenerationLogs({ after: (ms, run) => host.scheduler.after(ms, run), send: (message) => void sent.push(message) });
  return {
    host,
    logs,
    sent,
    cancelled,
    taken: () => taken,
    open: (generation: string) =>
      logs.open({ generation, model: 'm', request: REQUEST, note: `note of ${generation}`, cancel: () => cancelled.push(generation) }),
    tokens: (generation: string, from: number, text = 'word') =>
      logs.tokens({ type: 'tokens', generation, from, tokens: [from], text }, () => void (taken += 1)),
    end: (generation: string, outcome: 'stop' | 'cancelled' | 'failed' = 'stop') =>
      logs.ended({ type: 'generationEnded', generation, outcome, promptTokens: 1, completionTokens: 1, retryable: false }),
  };
}

const kinds = (sent: readonly FromAgent[]): string[] =>
  sent.map((message) => (message.type === 'tokens' ? `tokens ${message.from}` : message.type));

describe('logs of answers', () => {
  it('go on without a coordinator, and are repeated piece by piece to the next one before what follows', () => {
    const { logs, sent, open, tokens, end, taken } = scene();
    open('g');
    tokens('g', 0);
    logs.detach();
    // Whoever waited for the link that is gone waits no more, and nobody waits for one that is not there.
    expect(taken()).toBe(1);
    tokens('g', 1);
    expect(taken()).toBe(2);
    expect(kinds(sent)).toEqual(['tokens 0']);
    expect(logs.ids()).toEqual(['g']);
    sent.length = 0;
    logs.reattach('g');
    tokens('g', 2);
    end('g');
    expect(sent[0]).toMatchObject({ type: 'reattached', generation: 'g', model: 'm', note: 'note of g', request: REQUEST });
    expect(kinds(sent)).toEqual(['reattached', 'tokens 0', 'tokens 1', 'tokens 2', 'generationEnded']);
    expect(taken()).toBe(2);
  });

  it('are repeated whole, end and all, for some time after the end', async () => {
    const { logs, host, sent, open, tokens, end } = scene();
    open('g');
    tokens('g', 0);
    end('g');
    logs.detach();
    sent.length = 0;
    logs.reattach('g');
    expect(kinds(sent)).toEqual(['reattached', 'tokens 0', 'generationEnded']);
    await host.advance(KEEP_MS);
    expect(logs.ids()).toEqual([]);
    sent.length = 0;
    logs.reattach('g');
    expect(sent).toMatchObject([{ type: 'generationEnded', outcome: 'failed', code: 'NOT_READY', retryable: true }]);
  });

  it('are forgotten with answers that failed, were cancelled, or that the coordinator wants no more', () => {
    const { logs, open, end } = scene();
    for (const name of ['a', 'b', 'c']) open(name);
    end('a', 'failed');
    end('b', 'cancelled');
    logs.forget('c');
    expect(logs.ids()).toEqual([]);
  });

  it('end the work that no coordinator asks for', async () => {
    const { logs, host, cancelled, open } = scene();
    open('wanted');
    open('forgotten');
    logs.detach();
    logs.reattach('wanted');
    await host.advance(UNCLAIMED_MS);
    expect(cancelled).toEqual(['forgotten']);
    expect(logs.ids()).toEqual(['wanted']);
  });

  it('that grow too long are forgotten: with a coordinator the work goes on, without one it ends', () => {
    const { logs, sent, cancelled, open, tokens } = scene();
    open('attached');
    open('detached');
    logs.detach();
    logs.reattach('attached');
    sent.length = 0;
    const long = 'x'.repeat(1_000_000);
    for (const name of ['attached', 'detached']) for (let n = 0; n < 4; n++) tokens(name, n, long);
    expect(logs.ids()).toEqual([]);
    expect(cancelled).toEqual(['detached']);
    expect(kinds(sent.filter((message) => 'generation' in message && message.generation === 'attached'))).toEqual([
      'tokens 0',
      'tokens 1',
      'tokens 2',
      'tokens 3',
    ]);
  });

  it('make room for each other: the oldest that is whole goes first', () => {
    const { logs, cancelled, open, tokens, end } = scene();
    const long = 'x'.repeat(1_900_000);
    const names = Array.from({ length: 18 }, (_, n) => `g${n}`);
    for (const name of names) open(name);
    for (const name of names) {
      tokens(name, 0, long);
      if (name === 'g3') end(name);
    }
    expect(logs.ids()).toEqual(names.filter((name) => name !== 'g3'));
    expect(cancelled).toEqual([]);
  });
});
