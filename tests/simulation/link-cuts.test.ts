import { describe, expect, it } from 'vitest';

import { HANDSHAKE } from '#runtime/link/handshake.ts';
import { readHello } from '#runtime/link/handshake-v2.ts';
import type { Lane } from '#runtime/link/lane.ts';
import type { LinkLimits } from '#runtime/link/limits.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { type LinkPair, type Note, numbers, openPair } from '#tests/support/link-pair.ts';

/**
 * Ten thousand cuts: messages of all sizes in both lanes and both directions, owners that take their time, and a wire that is cut at
 * random, also in the middle of large messages and of handshakes, and repeats and delays what it carries. Small frames, so that
 * a message of some kilobytes has many places to be cut at.
 */
const LIMITS: Partial<LinkLimits> = {
  frameBytes: 2_048,
  flightBytes: 8_192,
  windowBytes: 64 * 1024,
  reserveBytes: 8 * 1024,
  ackAfterBytes: 2_048,
  backoffMinMs: 10,
  backoffMaxMs: 40,
};
const GROUPS = 4;
const SEEDS_PER_GROUP = 50;
const CUTS_PER_SEED = 50;

const laneOf = ({ n }: Note): Lane => (n % 3 === 0 ? 'control' : 'data');

interface Sent {
  readonly client: Note[];
  readonly server: Note[];
}

function openStormy(seed: number): LinkPair {
  const random = seededRandom(seed * 7);
  const pair: LinkPair = openPair({
    seed,
    limits: LIMITS,
    wire: { delayMs: [0, 20], repeat: 0.05 },
    client: { lane: laneOf },
    server: { lane: laneOf },
    onServerMessage: consume,
    onClientMessage: consume,
  });
  /** Most owners are done at once, some later, and not in order. */
  function consume(): void | Promise<void> {
    if (random() < 0.8) return;
    return new Promise((resolve) => pair.host.scheduler.after(random() * 300, resolve));
  }
  return pair;
}

function noteOf(n: number, random: () => number): Note {
  const kind = random();
  if (kind < 0.06) return { n, bytes: new Uint8Array(16_384 + Math.floor(random() * 20_000)).fill(n) };
  if (kind < 0.1) return { n, text: 'x'.repeat(Math.floor(random() * 9_000)) };
  return kind < 0.3 ? { n, text: 'x'.repeat(Math.floor(random() * 700)) } : { n };
}

async function storm(pair: LinkPair, seed: number): Promise<Sent> {
  const random = seededRandom(seed);
  const sent: Sent = { client: [], server: [] };
  let n = 0;
  const chat = (): void => {
    for (let count = Math.floor(random() * 12); count > 0; count--) {
      const mine = noteOf((n += 1), random);
      if (pair.client.send(mine) === 'accepted') sent.client.push(mine);
      const theirs = noteOf((n += 1), random);
      if (pair.sessions[0]?.session.send(theirs) === 'accepted') sent.server.push(theirs);
    }
  };
  await pair.host.advance(100);
  const cut = new Set<unknown>();
  while (cut.size < CUTS_PER_SEED) {
    chat();
    // Also while the next handshake is under way, and in the moment in which it ends.
    await pair.host.advance(random() * (random() < 0.3 ? 60 : 250));
    chat();
    const wire = pair.wire();
    if (wire.closed || cut.has(wire)) continue;
    cut.add(wire);
    wire.cut([random() * 30, random() * (random() < 0.1 ? 2_000 : 30)]);
    await pair.host.advance(random() < 0.3 ? 0 : random() * 50);
  }
  // The weather clears: everything that waits gets through.
  await pair.host.advance(20_000);
  return sent;
}

/** What arrives of one lane, in order. */
function inLane(notes: readonly Note[], lane: Lane): number[] {
  return numbers(notes.filter((note) => laneOf(note) === lane));
}

function damaged(notes: readonly Note[], sent: readonly Note[]): number[] {
  const original = new Map(sent.map((note) => [note.n, note]));
  return numbers(
    notes.filter(({ n, text, bytes }) => {
      const as = original.get(n);
      return text !== as?.text || bytes?.length !== as?.bytes?.length || bytes?.some((byte) => byte !== n % 256) === true;
    }),
  );
}

/** Hellos that asked for the rest of a message. */
function askedInTheMiddle(pair: LinkPair): number {
  return pair.wires.filter(({ sent }) => {
    const hello = sent.find(({ data }) => data[0] === HANDSHAKE.hello2);
    if (hello === undefined) return false;
    const { control, data } = readHello(hello.data).hello.position;
    return control.partial > 0 || data.partial > 0;
  }).length;
}

describe('a link that is cut', () => {
  it.each(Array.from({ length: GROUPS }, (_, i) => i))(
    `loses, repeats, reorders and damages nothing over ${SEEDS_PER_GROUP * CUTS_PER_SEED} cuts, group %i`,
    async (group) => {
      let resumes = 0;
      let inTheMiddle = 0;
      let messages = 0;
      let wires = 0;
      for (let seed = 1 + group * SEEDS_PER_GROUP; seed <= (group + 1) * SEEDS_PER_GROUP; seed++) {
        const pair = openStormy(seed);
        const sent = await storm(pair, seed);
        const context = `seed ${seed}`;
        expect([pair.sessions.length, pair.client.state, pair.lost, pair.faults], context).toEqual([1, 'open', [], []]);
        const { received, events } = pair.session();
        for (const lane of ['control', 'data'] as const) {
          expect(inLane(received, lane), context).toEqual(inLane(sent.client, lane));
          expect(inLane(pair.received, lane), context).toEqual(inLane(sent.server, lane));
        }
        expect([damaged(received, sent.client), damaged(pair.received, sent.server)], context).toEqual([[], []]);
        resumes += events.filter((event) => event === 'resumed').length;
        inTheMiddle += askedInTheMiddle(pair);
        messages += sent.client.length + sent.server.length;
        wires += pair.wires.length;
        await pair.close();
      }
      // It was a storm indeed: connections that lived, handshakes that did not, and large messages cut in two.
      expect(resumes).toBeGreaterThan(SEEDS_PER_GROUP * CUTS_PER_SEED * 0.3);
      expect(wires).toBeGreaterThan(resumes * 1.1);
      expect(inTheMiddle).toBeGreaterThan(SEEDS_PER_GROUP);
      expect(messages).toBeGreaterThan(SEEDS_PER_GROUP * CUTS_PER_SEED * 2);
    },
  );
});
