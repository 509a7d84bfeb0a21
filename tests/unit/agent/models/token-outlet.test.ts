import { describe, expect, it } from 'vitest';

import { TokenOutlet } from '#agent/models/token-outlet.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

function outlet() {
  const host = virtualHost(1);
  const sent: { from: number; tokens: number[]; text: string }[] = [];
  const waiting: (() => void)[] = [];
  let credit = 0;
  const made = new TokenOutlet({
    generation: 'g',
    host,
    send({ from, tokens, text }, taken) {
      sent.push({ from, tokens, text });
      waiting.push(taken);
    },
    credit: (tokens) => void (credit += tokens),
  });
  return { host, sent, made, take: () => waiting.shift()?.(), credit: () => credit };
}

describe('tokens on their way to the link', () => {
  it('go as one message when they come in one turn', async () => {
    const { host, sent, made } = outlet();
    made.add(0, [1, 2], 'a');
    made.add(2, [3], 'b');
    expect(sent).toEqual([]);
    await host.advance(1);
    expect(sent).toEqual([{ from: 0, tokens: [1, 2, 3], text: 'ab' }]);
  });

  it('wait together while the link takes nothing, and cost no credit until it does', async () => {
    const { host, sent, made, take, credit } = outlet();
    made.add(7, [1], 'a');
    await host.advance(1);
    for (let n = 0; n < 5; n++) {
      made.add(8 + n, [n], String(n));
      await host.advance(1);
    }
    expect(sent).toHaveLength(1);
    expect(credit()).toBe(0);
    take();
    expect(credit()).toBe(1);
    expect(sent[1]).toEqual({ from: 8, tokens: [0, 1, 2, 3, 4], text: '01234' });
    take();
    expect(credit()).toBe(6);
  });

  it('go before the end, text without a token too', async () => {
    const { sent, made, take, credit } = outlet();
    made.add(0, [1], '');
    made.flush();
    made.add(1, [], 'held back');
    made.flush();
    made.flush();
    take();
    take();
    // Text alone, as an upstream sends it, was paid with one token.
    expect(credit()).toBe(2);
    expect(sent).toEqual([
      { from: 0, tokens: [1], text: '' },
      { from: 1, tokens: [], text: 'held back' },
    ]);
  });
});
