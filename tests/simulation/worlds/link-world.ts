import type { Lane } from '#runtime/link/lane.ts';
import type { LinkLimits } from '#runtime/link/limits.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { createTrace, type Trace } from '#runtime/simulation/trace.ts';
import { type LinkPair, type Note, openPair } from '#tests/support/link-pair.ts';

import { Violations, type World } from './world.ts';

/** Small frames, so that a message of some kilobytes has many places to be cut at. */
const LIMITS: Partial<LinkLimits> = {
  frameBytes: 2_048,
  flightBytes: 8_192,
  windowBytes: 64 * 1024,
  reserveBytes: 8 * 1024,
  ackAfterBytes: 2_048,
  backoffMinMs: 10,
  backoffMaxMs: 40,
};
const CALM_MS = 20_000;

const laneOf = ({ n }: Note): Lane => (n % 3 === 0 ? 'control' : 'data');

/** One direction of a link: what was accepted must arrive whole, once and in the order of its lane. Looked at with each message. */
class Stream {
  readonly #name: string;
  readonly #violations: Violations;
  readonly #trace: Trace;
  readonly #due: Record<Lane, Note[]> = { control: [], data: [] };
  #sent = 0;
  #arrived = 0;

  constructor(name: string, violations: Violations, trace: Trace) {
    this.#name = name;
    this.#violations = violations;
    this.#trace = trace;
  }

  sent(note: Note): void {
    this.#sent += 1;
    this.#due[laneOf(note)].push(note);
  }

  arrived(note: Note): void {
    this.#arrived += 1;
    this.#trace.note(`${this.#name} ${note.n}`);
    const expected = this.#due[laneOf(note)].shift();
    if (expected?.n !== note.n) {
      this.#violations.add(`${this.#name}: ${note.n} arrived where ${expected?.n ?? 'nothing'} was due (${laneOf(note)} lane)`);
    } else if (!isWhole(note, expected)) this.#violations.add(`${this.#name}: ${note.n} arrived damaged`);
  }

  end(): void {
    const { control, data } = this.#due;
    if (control.length + data.length > 0)
      this.#violations.add(`${this.#name}: ${this.#arrived} of ${this.#sent} arrived, ${control.length + data.length} never did`);
  }
}

function isWhole({ n, text, bytes }: Note, sent: Note): boolean {
  return text === sent.text && bytes?.length === sent.bytes?.length && bytes?.every((byte) => byte === n % 256) !== false;
}

/**
 * An agent's link and a coordinator's, with a wire between them that is cut at random (in messages, in handshakes), goes silent
 * in one direction, delays and repeats; and owners that take their time. Both processes live on, so nothing may be lost.
 */
export const linkWorld: World = async (seed, { keep = 0 } = {}) => {
  const random = seededRandom(seed);
  const owners = seededRandom(seed * 7);
  const violations = new Violations();
  const consume = (): void | Promise<void> => {
    if (owners() < 0.8) return;
    return new Promise((resolve) => pair.host.scheduler.after(owners() * 300, resolve));
  };
  const pair: LinkPair = openPair({
    seed,
    limits: LIMITS,
    wire: { delayMs: [0, 20], repeat: 0.05 },
    client: { lane: laneOf },
    server: { lane: laneOf },
    onServerMessage: (note) => {
      up.arrived(note);
      return consume();
    },
    onClientMessage: (note) => {
      down.arrived(note);
      return consume();
    },
  });
  const { host } = pair;
  const trace = createTrace(() => host.clock.now(), keep);
  const up = new Stream('up', violations, trace);
  const down = new Stream('down', violations, trace);
  const start = host.clock.now();
  let n = 0;

  const chat = (): void => {
    for (let count = Math.floor(random() * 12); count > 0; count--) {
      const mine = noteOf((n += 1), random);
      // Before it is sent: it may arrive at once.
      if (pair.client.send(mine) === 'accepted') up.sent(mine);
      const theirs = noteOf((n += 1), random);
      if (pair.sessions[0]?.session.send(theirs) === 'accepted') down.sent(theirs);
    }
  };

  await host.advance(100);
  for (let storms = 1 + Math.floor(random() * 12); storms > 0 && !violations.any; storms--) {
    chat();
    // Also while the next handshake is under way, and in the moment in which it ends.
    await host.advance(random() * (random() < 0.3 ? 60 : 250));
    chat();
    const wire = pair.wire();
    if (wire.closed) continue;
    const dice = random();
    if (dice < 0.1) {
      trace.note('one end hears nothing any more');
      wire.freeze(random() < 0.5 ? 'client' : 'server');
      await host.advance(random() * 4_000);
    } else if (dice < 0.15) {
      trace.note('nobody runs for a while');
      await host.freeze(random() * 4_000);
    } else {
      trace.note('cut');
      wire.cut([random() * 30, random() * (random() < 0.1 ? 2_000 : 30)]);
    }
    await host.advance(random() < 0.3 ? 0 : random() * 50);
  }
  trace.note('all is well');
  if (!violations.any) await host.advance(CALM_MS);
  up.end();
  down.end();
  if (pair.sessions.length !== 1) violations.add(`${pair.sessions.length} sessions where one was to be resumed`);
  if (pair.client.state !== 'open') violations.add(`the link is ${pair.client.state} at the end`);
  for (const fault of pair.faults) violations.add(`an owner was troubled: ${String(fault)}`);
  if (pair.lost.length > 0) violations.add(`${pair.lost.length} messages were given up`);
  await pair.close().catch((error: unknown) => violations.add(String(error)));
  return {
    hash: trace.hash,
    steps: trace.length,
    virtualMs: host.clock.now() - start,
    violations: violations.list,
    recent: trace.recent,
  };
};

function noteOf(n: number, random: () => number): Note {
  const kind = random();
  if (kind < 0.06) return { n, bytes: new Uint8Array(16_384 + Math.floor(random() * 20_000)).fill(n) };
  if (kind < 0.1) return { n, text: 'x'.repeat(Math.floor(random() * 9_000)) };
  return kind < 0.3 ? { n, text: 'x'.repeat(Math.floor(random() * 700)) } : { n };
}
