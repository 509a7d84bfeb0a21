import { describe, expect, it } from 'vitest';

import type { LinkLimits } from '#runtime/link/limits.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { type LinkPair, type Note, numbers, openPair } from '#tests/support/link-pair.ts';

/** Random weather over a link: messages both ways while the wire is cut, frozen, slow and repeats itself. */
interface Weather {
  readonly cuts: number;
  readonly freezes: number;
  readonly sent: { readonly client: Note[]; readonly server: Note[][] };
}

const SEEDS = 40;
const CUTS_PER_SEED = 12;

async function storm(pair: LinkPair, seed: number, cuts: number): Promise<Weather> {
  const random = seededRandom(seed);
  const upTo = (limit: number): number => Math.floor(random() * limit);
  const sent: { client: Note[]; server: Note[][] } = { client: [], server: [] };
  let n = 0;
  let freezes = 0;

  const note = (): Note => {
    n += 1;
    const kind = random();
    if (kind < 0.02) return { n, bytes: new Uint8Array(upTo(200_000)).fill(n) };
    return kind < 0.3 ? { n, text: 'x'.repeat(upTo(2_000)) } : { n };
  };
  const chat = (): void => {
    for (let count = upTo(40); count > 0; count--) {
      const mine = note();
      if (pair.client.send(mine) === 'accepted') sent.client.push(mine);
      const seen = pair.sessions.at(-1);
      const theirs = note();
      if (seen?.session.send(theirs) === 'accepted') (sent.server[pair.sessions.length - 1] ??= []).push(theirs);
    }
  };

  for (let done = 0; done < cuts;) {
    chat();
    await pair.host.advance(random() < 0.3 ? 0 : upTo(120));
    if (random() > 0.4) continue;
    done += 1;
    if (random() < 0.15) {
      freezes += 1;
      pair.wire().freeze((['client', 'server', 'both'] as const)[upTo(3)]);
      await pair.host.advance(upTo(9_000));
    } else pair.wire().cut([upTo(50), random() < 0.3 ? upTo(4_000) : upTo(50)]);
    // Often the next cut comes in the middle of the reconnection.
    if (random() < 0.4) await pair.host.advance(upTo(80));
  }
  // The storm is over: everything that waits gets through.
  await pair.host.advance(25_000);
  return { cuts, freezes, sent };
}

function weatherPair(seed: number, limits: Partial<LinkLimits> = {}): LinkPair {
  return openPair({ seed, limits, wire: { delayMs: [0, 30], repeat: 0.05 } });
}

describe('a link in a storm', () => {
  it(`loses, repeats and reorders nothing in either direction over ${SEEDS * CUTS_PER_SEED} cuts`, async () => {
    let cuts = 0;
    let messages = 0;
    let resumes = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const pair = weatherPair(seed);
      await pair.host.advance(100);
      expect(pair.client.state).toBe('open');
      const weather = await storm(pair, seed, CUTS_PER_SEED);
      const context = `seed ${seed}`;
      expect(pair.sessions.length, context).toBe(1);
      expect(pair.client.state, context).toBe('open');
      expect(numbers(pair.session().received), context).toEqual(numbers(weather.sent.client));
      expect(numbers(pair.received), context).toEqual(numbers(weather.sent.server.flat()));
      expect(sizes(pair.session().received), context).toEqual(sizes(weather.sent.client));
      expect([pair.lost, pair.faults], context).toEqual([[], []]);
      cuts += weather.cuts;
      messages += weather.sent.client.length + weather.sent.server.flat().length;
      resumes += pair.session().events.filter((event) => event === 'resumed').length;
      await pair.close();
    }
    expect(cuts).toBeGreaterThanOrEqual(300);
    expect(resumes).toBeGreaterThan(200);
    expect(messages).toBeGreaterThan(10_000);
  });

  it('hands back whatever it could not deliver when sessions expire, and still repeats and reorders nothing', async () => {
    let sessions = 0;
    let handedBack = 0;
    for (let seed = 101; seed <= 115; seed++) {
      const pair = weatherPair(seed, { keepSessionMs: 60 });
      await pair.host.advance(100);
      const { sent } = await storm(pair, seed, CUTS_PER_SEED);
      const context = `seed ${seed}`;
      const arrived = pair.sessions.flatMap((seen) => numbers(seen.received));
      expectOrdered(arrived, context);
      expectOrdered(numbers(pair.received), context);
      expect(missing(sent.client, [arrived, numbers(pair.lost)]), context).toEqual([]);
      pair.sessions.forEach((seen, i) => {
        expect(missing(sent.server[i] ?? [], [numbers(pair.received), numbers(seen.undelivered)]), context).toEqual([]);
      });
      sessions += pair.sessions.length;
      handedBack += pair.lost.length;
      expect(pair.faults, context).toEqual([]);
      await pair.close();
    }
    expect(sessions).toBeGreaterThan(40);
    expect(handedBack).toBeGreaterThan(100);
  });

  it('has the same history for the same seed', async () => {
    const history = async (): Promise<unknown> => {
      const pair = weatherPair(7);
      await storm(pair, 7, 6);
      const seen = [pair.events, pair.session().events, numbers(pair.received), pair.wires.map((wire) => wire.sent.length)];
      await pair.close();
      return seen;
    };
    expect(await history()).toEqual(await history());
  });
});

function sizes(notes: readonly Note[]): number[] {
  return notes.map((note) => (note.text?.length ?? 0) + (note.bytes?.length ?? 0));
}

function expectOrdered(list: readonly number[], context: string): void {
  for (let i = 1; i < list.length; i++) expect(list[i], context).toBeGreaterThan(list[i - 1] ?? 0);
}

function missing(sent: readonly Note[], places: readonly (readonly number[])[]): number[] {
  const found = new Set(places.flat());
  return numbers(sent).filter((n) => !found.has(n));
}
