import type { JobState } from '#actors/contract/job-states.ts';
import { partitionOf } from '#actors/store/partition.ts';
import type { Change, Decided, Lease, Store } from '#actors/store/store.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { CAPABILITIES, greedy, jobId, object, spec } from './store-scene.ts';

/**
 * Random histories of the store's verbs, told without the numbers that a store gives by itself (shards, fences): a step names
 * the leases of an earlier step by their place, so that it means the same on every store that has answered alike so far.
 */

const JOBS = [jobId(1), jobId(2), jobId(3)];
const DEVICES = ['a', 'b', 'c', 'd'];
const TOKEN = 'token';
const LATER = 10_000_000;

/** A store in the middle of a history: what it has answered, and the names by which its numbers are told. */
export class Teller {
  readonly store: Store;
  epochs: ReadonlyMap<number, number> = new Map();
  /** Epochs of the time before somebody else took the partitions. */
  earlier: ReadonlyMap<number, number> = new Map();
  readonly leases: Lease[] = [];
  readonly #names = new Map<string, Map<unknown, string>>();

  constructor(store: Store) {
    this.store = store;
  }

  /** The answer, or the name of the error, with every number that the store chose replaced by the order in which it came up. */
  async answer(step: Step): Promise<unknown> {
    try {
      return this.told(await step.run(this));
    } catch (error) {
      return error instanceof Error ? error.name : typeof error;
    }
  }

  /** All that can be seen of the jobs and devices. */
  async everything(): Promise<unknown> {
    const { store } = this;
    const jobs = [];
    for (const id of JOBS) {
      jobs.push({
        job: await store.findJob(id),
        shards: await store.shardsOf(id),
        states: await store.shardStates(id),
        attempts: await store.attemptsOf(id, null),
        votes: await store.votesOf(id, null),
        audits: await store.auditsOf(id),
        manifest: await store.findManifest(id),
        logged: await store.logPosition(id),
      });
    }
    const tallies = [...(await store.tallyJobs(JOBS))].sort(([x], [y]) => (x < y ? -1 : 1));
    const standings = await store.standings({ app: object('m').sha256 });
    return this.told({
      jobs,
      tallies,
      devices: await store.listDevices(),
      standings: [...standings].sort((x, y) => (x.device < y.device ? -1 : 1)),
      open: await store.openJobs(Array.from({ length: 256 }, (_, partition) => partition)),
      log: await store.manifestLog(null),
    });
  }

  told(value: unknown, key = ''): unknown {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (value instanceof Map) return [...value].map(([k, v]) => [this.told(k), this.told(v)]);
    if (value instanceof Set) return [...value].map((one) => String(this.told(one))).toSorted((x, y) => (x < y ? -1 : 1));
    if (Array.isArray(value)) return value.map((one) => this.told(one));
    if (typeof value === 'number' && (key === 'seq' || key === 'shardId' || key === 'epoch')) return this.#named(key, value);
    if (typeof value !== 'object' || value === null) return value;
    // Only a shard's row has both: its id is the store's own number.
    const isShard = 'wanted' in value && 'id' in value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, field]) => field !== undefined)
        .sort(([x], [y]) => (x < y ? -1 : 1))
        .map(([name, field]) => [name, this.told(field, isShard && name === 'id' ? 'shardId' : name)]),
    );
  }

  #named(kind: string, number: number): string {
    const names = this.#names.get(kind) ?? new Map<unknown, string>();
    this.#names.set(kind, names);
    const name = names.get(number) ?? `${kind} ${names.size + 1}`;
    names.set(number, name);
    return name;
  }
}

export interface Step {
  readonly told: string;
  run(teller: Teller): Promise<unknown>;
}

/** Steps that are taken one after the other; or several at once, whose order is then nobody's business. */
export interface Round {
  readonly steps: readonly Step[];
}

/** What has to be there before a history begins. */
export async function prepare(teller: Teller): Promise<void> {
  const { store } = teller;
  teller.epochs = await store.takePartitions('first');
  await store.createEnrolmentToken({ hash: TOKEN, name: 'office', uses: DEVICES.length, expiresAt: LATER, createdAt: 0 });
  for (const id of DEVICES) await store.enrol(TOKEN, { id, name: id, publicKey: `key of ${id}` }, 1_000);
}

/** The history of a seed. */
export function historyOf(seed: number, rounds: number): readonly Round[] {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly [T, ...T[]]): T => list[Math.floor(random() * list.length)] ?? list[0];
  const below = (n: number): number => Math.floor(random() * n);
  let at = 1_000;

  const epochOf = (teller: Teller, job: string, stale: boolean): number =>
    (stale ? teller.earlier : teller.epochs).get(partitionOf(job)) ?? 0;
  const job = (): string => pick(JOBS as [string, ...string[]]);

  /** A change about a lease of before: one that is the store's own number on every store. */
  function change(): (teller: Teller) => Change | undefined {
    const which = random();
    const kind = random();
    const output = object(pick(['right', 'right', 'right', 'wrong']));
    const decision = pick(['none', 'none', 'another', 'accept', 'core'] as const);
    const state = pick(['suspect', 'expired', 'failed', 'released'] as const);
    const restsOn = random() < 0.2 ? below(3) : undefined;
    const core = pick([null, 'audit', 'dispute'] as const);
    const stale = random() < 0.03;
    const impostor = random() < 0.05 ? pick(DEVICES as [string, ...string[]]) : undefined;
    const signature = `${below(3)}`.padStart(128, '0');
    const lessons =
      random() < 0.2
        ? { app: object('m').sha256, learned: [{ device: pick(DEVICES as [string, ...string[]]), kind: 'voted' as const }] }
        : undefined;
    const now = (at += 10);
    return (teller) => {
      const lease = teller.leases[Math.floor(which * teller.leases.length)];
      if (lease === undefined) return undefined;
      const { partition, fence, job: id, shardId, index } = lease;
      const base = { partition, epoch: epochOf(teller, id, stale) };
      const device = impostor ?? lease.device;
      const vote = { fence, job: id, shardId, index, device, output, bytes: new Uint8Array([1, 2]), signature, refusal: null, at: now };
      if (kind < 0.45) {
        return {
          ...base,
          type: 'vote',
          vote,
          decision,
          ...(restsOn === undefined ? {} : { restsOn }),
          ...(lessons === undefined ? {} : { lessons }),
        };
      }
      if (kind < 0.6) return { ...base, type: 'refuse', vote: { ...vote, bytes: null, refusal: 'no' } };
      if (kind < 0.92) return { ...base, type: 'end', fence, state, reason: 'because', at: now };
      return { ...base, type: 'reopen', job: id, shardId, core, at: now };
    };
  }

  function commit(): Step {
    const changes = Array.from({ length: 1 + below(4) }, change);
    return {
      told: `commit of ${changes.length}`,
      run: (teller) => teller.store.commit(changes.flatMap((make) => make(teller) ?? [])),
    };
  }

  function move(): Step {
    const id = job();
    const [from, to] = pick<readonly [readonly JobState[], JobState]>([
      [['queued'], 'running'],
      [['running'], 'paused'],
      [['paused'], 'running'],
      [['running'], 'sealing'],
      [['sealing'], 'running'],
      [['running', 'paused'], 'failed'],
      [['queued', 'running', 'paused'], 'cancelled'],
    ]);
    const stale = random() < 0.05;
    const now = (at += 10);
    return { told: `move ${id} to ${to}`, run: (t) => t.store.moveJob(id, epochOf(t, id, stale), from, to, 'why', now) };
  }

  function seal(): Step {
    const id = job();
    const body = pick(['one', 'two']);
    const now = (at += 10);
    return {
      told: `seal ${id}`,
      run: (t) => t.store.seal({ job: id, body, signature: 'signed', sealedAt: now }, epochOf(t, id, false)),
    };
  }

  function alone(): Step {
    const id = job();
    const device = pick(DEVICES as [string, ...string[]]);
    const now = (at += 10);
    const dice = random();
    if (dice < 0.2) {
      const merge = random() < 0.3 ? { merge: { module: object('m'), args: [] } } : {};
      const wish = spec({ shards: { count: 1 + below(3) }, quorum: 1 + below(3), maxFailures: 1 + below(3), priority: below(3), ...merge });
      const tenant = pick(['acme', 'ajax']);
      const run = (t: Teller): Promise<unknown> =>
        t.store.createJob({ id, tenant, submittedBy: 'ann', spec: wish, at: now }, epochOf(t, id, false));
      return { told: `create ${id}`, run };
    }
    if (dice < 0.3)
      return { told: `start ${id}`, run: (t) => t.store.moveJob(id, epochOf(t, id, false), ['queued'], 'running', null, now) };
    if (dice < 0.62) {
      const devices = DEVICES.filter(() => random() < 0.6);
      const limit = 1 + below(6);
      return {
        told: `claim for ${devices.join(' ')}`,
        async run(t) {
          const leases = await t.store.claim({ epochs: t.epochs, devices, limit, at: now, place: greedy(devices) });
          t.leases.push(...leases);
          return leases;
        },
      };
    }
    if (dice < 0.68) return { told: `unblock ${id}`, run: (t) => t.store.unblockMerge(id, epochOf(t, id, false)) };
    if (dice < 0.75) return { told: `activate ${id}`, run: (t) => t.store.activateJob(id, epochOf(t, id, false)) };
    if (dice < 0.8) return { told: `session of ${device}`, run: (t) => t.store.openSession(device, CAPABILITIES, now) };
    if (dice < 0.85) {
      const sessionEpoch = below(4);
      return { told: `beat of ${device}`, run: (t) => t.store.beat([{ device, sessionEpoch }], now) };
    }
    if (dice < 0.9) {
      const state = pick(['absent', 'draining', 'present'] as const);
      const sessionEpoch = pick([null, 1, 2]);
      return { told: `${device} is ${state}`, run: (t) => t.store.setDeviceState(device, sessionEpoch, state, now) };
    }
    if (dice < 0.95) {
      const decided = new Map<number, Decided | null>([[0, null]]);
      return { told: `note what decided ${id}`, run: (t) => t.store.noteDecided(id, epochOf(t, id, false), decided) };
    }
    if (dice < 0.97) return { told: `pardon ${device}`, run: (t) => t.store.pardon(device, object('m').sha256, now) };
    return {
      told: 'somebody else takes all',
      async run(t) {
        t.earlier = t.epochs;
        t.epochs = await t.store.takePartitions('next');
      },
    };
  }

  return Array.from({ length: rounds }, (): Round => {
    const dice = random();
    if (dice < 0.45) return { steps: [alone()] };
    if (dice < 0.75) return { steps: [commit()] };
    if (dice < 0.85) return { steps: [random() < 0.5 ? move() : seal()] };
    return { steps: Array.from({ length: 2 + below(2) }, () => (random() < 0.6 ? commit() : random() < 0.5 ? move() : seal())) };
  });
}

/** All orders of a few things. */
export function ordersOf<T>(things: readonly T[]): T[][] {
  if (things.length <= 1) return [[...things]];
  return things.flatMap((one, i) => ordersOf(things.filter((_, j) => j !== i)).map((rest) => [one, ...rest]));
}
