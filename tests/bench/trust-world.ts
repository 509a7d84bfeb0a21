import { JobSpec, type Trust } from '#actors/contract/job-spec.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import { JobProtocol } from '#actors/job/job.protocol.ts';
import { quorumActor } from '#actors/quorum/quorum.actor.ts';
import type { QuorumRef } from '#actors/quorum/quorum.protocol.ts';
import { createTrustBook, type AppTrust, type TrustBook } from '#actors/quorum/trust-book.ts';
import type { Services } from '#actors/services.ts';
import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import { partitionOf } from '#actors/store/partition.ts';
import type { Assignment, Candidate, Change, Lease, Outcome, Store } from '#actors/store/store.ts';
import { createLedger } from '#runtime/database/ledger.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import type { Log } from '#runtime/observe/log.ts';
import { createInProcessPresence } from '#runtime/presence/in-process-presence.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { memoryObjects } from '#tests/support/memory-objects.ts';

/**
 * A fleet of honest, flaky and lying devices around the real QuorumActor, with the real ledger and store rules, in virtual
 * time. Placement, links and signatures are left out: they do not decide what is believed. Signatures are checked by the
 * actor's other tests; here a check that always holds takes their place, or 20 million of them would take hours.
 */

export type Attack =
  /** Wrong answers of its own, with this probability. */
  | { readonly kind: 'alone'; readonly share: number }
  /** One secret coin for each shard, one wrong answer for all of them. */
  | { readonly kind: 'collude'; readonly share: number }
  /** They know who else votes: whoever comes first may lie, and others join only a lie that was told. */
  | { readonly kind: 'peek'; readonly share: number };

export interface WorldOptions {
  readonly seed: number;
  readonly trust: Trust;
  readonly devices?: number;
  /** Share of the devices that is enrolled as trusted. */
  readonly core?: number;
  readonly saboteurs?: number;
  readonly attack?: Attack;
  /** Honest for so many results. */
  readonly sleep?: number;
  /** Comes back under a new identity when it is expelled. */
  readonly whitewash?: boolean;
  /** Share of honest devices that are wrong with 5e-3, always differently; the others with 1e-5. */
  readonly flaky?: number;
  readonly jobs?: number;
  readonly shards?: number;
  readonly auditShare?: number;
  /** So many times the pulls of an honest device. */
  readonly steer?: number;
}

export interface WorldReport {
  readonly shards: number;
  readonly wrong: number;
  /** Shards of jobs that failed because nobody could decide. */
  readonly lost: number;
  readonly executions: number;
  readonly lateShards: number;
  readonly lateExecutions: number;
  readonly lateWrong: number;
  readonly honestExpelled: number;
  readonly saboteursLeft: number;
  readonly identities: number;
  readonly audits: number;
  readonly takenBack: number;
  readonly reviews: number;
  /** Why the first job failed that did. */
  readonly failure: string | null;
}

interface Machine {
  readonly id: string;
  readonly principal: string;
  readonly bad: boolean;
  readonly core: boolean;
  readonly faultRate: number;
  results: number;
}

const FLAKY_RATE = 5e-3;
const SOLID_RATE = 1e-5;
const MODULE = { sha256: 'a'.repeat(64), size: 1 };
/** Reviews of one job, as the JobActor has it. */
const REVIEWS = 8;
/** Longer than a shard waits before it is given up. */
const PATIENCE_MS = 20_000;

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const nowhere = { voteSettled: () => 'accepted', upload: () => 'accepted' } as unknown as DeviceRef;

interface Answer {
  readonly output: ObjectRef;
  readonly bytes: Uint8Array;
}

const ignore = (): void => {};
/** What the owner of the quorum is never asked for here. */
const JOB_ONLY = { leased: ignore, vote: ignore, votes: ignore, offer: ignore, attempt: ignore, checkpoint: ignore };

function answerOf(text: string): Answer {
  const bytes = new TextEncoder().encode(text);
  return { bytes, output: { sha256: sha256Hex(bytes), size: bytes.length } };
}

const RIGHT = answerOf('right');
const COLLUDED = answerOf('wrong');

/** In [0, 1), the same for all who know the seed. */
function coin(shard: number, seed: number): number {
  let t = Math.imul(shard ^ 0x9e3779b9 ^ Math.imul(seed, 7919), 0x85ebca6b);
  t ^= t >>> 13;
  t = Math.imul(t, 0xc2b2ae35);
  t ^= t >>> 16;
  return (t >>> 0) / 2 ** 32;
}

export async function playWorld(options: WorldOptions): Promise<WorldReport> {
  const world = await World.open(options);
  try {
    return await world.run();
  } finally {
    await world.close();
  }
}

interface Hearing {
  readonly accepted: Map<number, ObjectRef>;
  failure: string | null;
}

interface OwnerArgs {
  readonly hearing: Hearing;
  readonly quorum: (owner: Parameters<typeof quorumActor.start>[1]['owner']) => Parameters<typeof quorumActor.start>[1];
  readonly ready: (quorum: QuorumRef) => void;
}

/** Stands where the JobActor stands: above the QuorumActor. */
const ownerActor = defineActor({
  protocol: JobProtocol,
  mailbox: { capacity: 1_000_000 },
  start(context, { hearing, quorum, ready }: OwnerArgs) {
    ready(
      context.spawn({
        id: 'quorum',
        actor: quorumActor,
        restart: 'transient',
        mailbox: { capacity: 1_000_000 },
        args: quorum(context.self),
      }),
    );
    return {
      ...JOB_ONLY,
      /** Ends it: nothing else is ever reported here. */
      report: () => context.stop(),
      counted: ignore,
      jobEnded: ignore,
      reopened: ignore,
      provisional: ({ index, output }) => void hearing.accepted.set(index, output),
      shardFailed: ({ reason }) => void (hearing.failure ??= reason),
      control() {
        throw new Error('nobody asks');
      },
      snapshot() {
        throw new Error('there is none');
      },
    };
  },
});

class World {
  readonly #o: Required<Omit<WorldOptions, 'attack'>> & Pick<WorldOptions, 'attack'>;
  readonly #random: () => number;
  readonly #host: VirtualHost;
  readonly #store: Store;
  readonly #services: Services;
  readonly #system;
  readonly #trust: { book: TrustBook; page: AppTrust };
  #live: Machine[] = [];
  readonly #byId = new Map<string, Machine>();
  #identities = 0;
  #uniques = 0;
  #honestExpelled = 0;
  #executions = 0;
  #takenBack = 0;
  #reviews = 0;
  /** Shards of the running job on which a colluder has lied. */
  #lied = new Set<number>();
  #voted = new Set<number>();

  private constructor(
    options: WorldOptions,
    parts: { host: VirtualHost; services: Omit<Services, 'ledger' | 'store'>; page: AppTrust; book: TrustBook; store: Store },
  ) {
    const { host, store, services, page, book } = parts;
    this.#host = host;
    this.#o = {
      devices: 200,
      core: 0.05,
      saboteurs: 0,
      sleep: 0,
      whitewash: false,
      flaky: 0.3,
      jobs: 24,
      shards: 5_000,
      auditShare: 0.02,
      steer: 1,
      ...options,
    };
    this.#random = seededRandom(options.seed * 7919 + 13);
    this.#store = store;
    const ledger = createLedger<Change, Outcome>({ host: this.#host, commit: (batch) => store.commit(batch) });
    this.#services = { ...services, store, ledger };
    this.#system = createSystem({
      name: 'trust',
      host: this.#host,
      onCrash: ({ error }) => {
        throw error;
      },
      onDeadLetter: () => {},
    });
    this.#trust = { book, page };
  }

  static async open(options: WorldOptions): Promise<World> {
    const host = virtualHost(1);
    const store = createMemoryStore();
    const book = createTrustBook(store, host.clock);
    const page = await book.page(MODULE.sha256);
    const services = {
      objects: memoryObjects(),
      presence: createInProcessPresence(host),
      key: generateKeyPair((length) => new Uint8Array(length).fill(7)),
      log: silent,
      patiently: <T>(work: () => Promise<T>) => work(),
      epochs: await store.takePartitions('trust'),
    };
    const world = new World(options, { host, services, page, book, store });
    await world.#people();
    return world;
  }

  async #people(): Promise<void> {
    const { devices, core, saboteurs } = this.#o;
    const trusted = Math.round(core * devices);
    const bad = Math.round(saboteurs * devices);
    // The last devices are bad: the trusted ones never are.
    for (let n = 0; n < devices; n++) await this.#enrol({ bad: n >= devices - bad, core: n < trusted });
    await this.#trust.book.refresh();
  }

  async #enrol({ bad, core }: { bad: boolean; core: boolean }): Promise<void> {
    const n = this.#identities++;
    const id = `dev-${n.toString().padStart(10, '0')}`;
    await this.#store.createEnrolmentToken({ hash: id, name: id, uses: 1, expiresAt: 1, createdAt: 0, trusted: core });
    const row = await this.#store.enrol(id, { id, name: id, publicKey: id }, 0);
    if (row === null) throw new Error('a device could not enrol');
    await this.#store.setDeviceState(id, null, 'present', 0);
    const faultRate = !core && this.#random() < this.#o.flaky ? FLAKY_RATE : SOLID_RATE;
    const machine = { id, principal: row.principal, bad, core, faultRate, results: 0 };
    this.#trust.page.meet(id, row.principal, core);
    this.#live.push(machine);
    this.#byId.set(id, machine);
  }

  async run(): Promise<WorldReport> {
    const { jobs, shards } = this.#o;
    let wrong = 0;
    let lateWrong = 0;
    let lost = 0;
    let late = 0;
    let audits = 0;
    let failure: string | null = null;
    for (let job = 0; job < jobs; job++) {
      const before = this.#executions;
      const { hearing, id } = await this.#job(job);
      failure ??= hearing.failure;
      if (hearing.failure !== null) lost += shards;
      else {
        let bad = 0;
        for (const output of hearing.accepted.values()) if (output.sha256 !== RIGHT.output.sha256) bad += 1;
        wrong += bad;
        if (job >= jobs / 2) lateWrong += bad;
      }
      if (job >= jobs / 2) late += this.#executions - before;
      audits += (await this.#store.auditsOf(id)).length;
    }
    return {
      shards: jobs * shards,
      wrong,
      lost,
      executions: this.#executions,
      lateShards: Math.floor(jobs / 2) * shards,
      lateExecutions: late,
      lateWrong,
      honestExpelled: this.#honestExpelled,
      saboteursLeft: this.#live.filter((m) => m.bad).length,
      identities: this.#identities,
      audits,
      takenBack: this.#takenBack,
      reviews: this.#reviews,
      failure,
    };
  }

  async #job(number: number): Promise<{ hearing: Hearing; id: string }> {
    const { shards, trust, seed, auditShare } = this.#o;
    const services = this.#services;
    const id = `00000000-0000-4000-8000-${number.toString().padStart(12, '0')}`;
    const epoch = services.epochs.get(partitionOf(id)) ?? 0;
    const spec = JobSpec.parse({ version: 1, name: 'world', kind: 'wasm', module: MODULE, shards: { count: shards }, trust });
    await this.#store.createJob({ id, tenant: 'default', submittedBy: 'bench', spec, at: number }, epoch);
    await this.#store.moveJob(id, epoch, ['queued'], 'running', null, number);
    const active = await this.#store.activateJob(id, epoch);
    if (active === null) throw new Error('the job is gone');
    const hearing: Hearing = { accepted: new Map(), failure: null };
    this.#lied = new Set();
    this.#voted = new Set();
    let quorum: QuorumRef | undefined;
    const owner = this.#system.spawn({
      id: `job-${number}`,
      actor: ownerActor,
      restart: 'temporary',
      args: {
        hearing,
        ready: (ref) => void (quorum = ref),
        quorum: (self) => ({
          services,
          job: active.job,
          epoch,
          states: active.states,
          touched: active.touched,
          attempts: active.attempts,
          votes: active.votes,
          owner: self,
          trust: this.#trust.page,
          book: this.#trust.book,
          auditSecret: Buffer.from(`secret ${seed}`),
          auditShare,
          inputDigest: () => MODULE.sha256,
          moduleOf: () => MODULE.sha256,
          onVoted: () => {},
          signatureRefusal: () => null,
        }),
      },
    });
    await this.#host.settle();
    if (quorum === undefined) throw new Error('the quorum actor did not start');
    await this.#untilSettled(id, quorum, hearing);
    await this.#store.moveJob(id, epoch, ['running'], hearing.failure === null ? 'cancelled' : 'failed', null, number);
    owner.report([]);
    await this.#host.settle();
    return { hearing, id };
  }

  async #untilSettled(id: string, quorum: QuorumRef, hearing: Hearing): Promise<void> {
    const firstShard = Number(id.slice(-12)) * this.#o.shards;
    for (let reviews = 0; hearing.failure === null; reviews++) {
      while (hearing.accepted.size < this.#o.shards && hearing.failure === null) {
        if ((await this.#round(quorum, firstShard)) === 0) await this.#host.advance(PATIENCE_MS);
        await this.#newIdentities();
      }
      if (hearing.failure !== null) return;
      const [shards, votes] = await Promise.all([this.#store.shardsOf(id), this.#store.votesOf(id, null)]);
      const asked = quorum.review({ shards, votes, lastWord: reviews >= REVIEWS }, { timeoutMs: 1e9 });
      const { reopened, lost } = await this.#hear(asked);
      this.#reviews += 1;
      this.#takenBack += reopened.length;
      if (lost[0] !== undefined) hearing.failure = lost[0].reason;
      if (reopened.length === 0) return;
      for (const index of reopened) hearing.accepted.delete(index);
    }
  }

  /** Lets time pass until there is an answer: a review commits in several batches. */
  async #hear<T>(answer: Promise<T>): Promise<T> {
    const state = { open: true };
    const done = (): void => void (state.open = false);
    answer.then(done, done);
    await this.#host.settle();
    while (state.open) await this.#host.advance(10);
    return answer;
  }

  /** Every device gets a shard, computes and votes. Answers how many did. */
  async #round(quorum: QuorumRef, firstShard: number): Promise<number> {
    const { steer } = this.#o;
    const pulling = steer === 1 ? this.#live : this.#live.filter((m) => m.bad || this.#random() < 1 / steer);
    const leases = await this.#store.claim({
      epochs: this.#services.epochs,
      devices: pulling.map((m) => m.id),
      limit: pulling.length,
      at: 0,
      place: (candidates) => this.#place(candidates, pulling),
    });
    if (leases.length === 0) return 0;
    quorum.leased(leases.map(({ fence, shardId, index, device }) => ({ fence, shardId, index, device })));
    for (const lease of leases) this.#vote(quorum, lease, firstShard);
    await this.#host.settle();
    return leases.length;
  }

  #place(candidates: readonly Candidate[], pulling: readonly Machine[]): Assignment[] {
    const free = pulling.map((m) => m.id);
    const assignments: Assignment[] = [];
    for (const { shardId, wanted, barred } of candidates) {
      const tried = new Set(barred);
      for (let n = 0; n < wanted; n++) {
        const at = this.#draw(free, tried);
        if (at < 0) break;
        const device = free[at] ?? '';
        tried.add(device);
        free[at] = free.at(-1) ?? '';
        free.pop();
        assignments.push({ shardId, device });
      }
    }
    return assignments;
  }

  /** Position of a random device that is not barred, or -1. */
  #draw(free: readonly string[], barred: ReadonlySet<string>): number {
    if (free.length === 0) return -1;
    for (let tries = 0; tries < 8; tries++) {
      const at = Math.floor(this.#random() * free.length);
      if (!barred.has(free[at] ?? '')) return at;
    }
    const start = Math.floor(this.#random() * free.length);
    for (let n = 0; n < free.length; n++) {
      const at = (start + n) % free.length;
      if (!barred.has(free[at] ?? '')) return at;
    }
    return -1;
  }

  #vote(quorum: QuorumRef, lease: Lease, firstShard: number): void {
    const machine = this.#byId.get(lease.device);
    if (machine === undefined) throw new Error(`no device ${lease.device}`);
    this.#executions += 1;
    const { output, bytes } = this.#answer(machine, lease.index, firstShard + lease.index);
    quorum.vote({
      message: { type: 'vote', fence: lease.fence, job: lease.job, shard: lease.index, output, bytes, seconds: 0, signature: '' },
      device: machine.id,
      publicKey: '',
      principal: machine.principal,
      trusted: machine.core,
      from: nowhere,
      again: false,
    });
  }

  #answer(machine: Machine, index: number, shard: number): Answer {
    machine.results += 1;
    const isFirst = !this.#voted.has(index);
    this.#voted.add(index);
    if (machine.bad && machine.results > this.#o.sleep && this.#lies(index, shard, isFirst)) {
      if (this.#o.attack?.kind === 'alone') return this.#unique();
      this.#lied.add(index);
      return COLLUDED;
    }
    return this.#random() < machine.faultRate ? this.#unique() : RIGHT;
  }

  #lies(index: number, shard: number, isFirst: boolean): boolean {
    const { attack, seed } = this.#o;
    if (attack === undefined) return false;
    if (attack.kind === 'alone') return this.#random() < attack.share;
    if (attack.kind === 'collude') return coin(shard, seed) < attack.share;
    return isFirst ? coin(shard, seed) < attack.share : this.#lied.has(index);
  }

  #unique(): Answer {
    return answerOf(`wrong ${(this.#uniques += 1)}`);
  }

  /** Who is in quarantine leaves; who can comes back as somebody else. */
  async #newIdentities(): Promise<void> {
    const { page } = this.#trust;
    const expelled = this.#live.filter((m) => page.quarantineOf(m.id) !== null);
    if (expelled.length === 0) return;
    this.#live = this.#live.filter((m) => page.quarantineOf(m.id) === null);
    for (const machine of expelled) {
      if (!machine.bad) this.#honestExpelled += 1;
      else if (this.#o.whitewash) await this.#enrol({ bad: true, core: false });
    }
  }

  async close(): Promise<void> {
    const down = this.#system.shutdown();
    await this.#host.advance(60_000);
    await down;
    await this.#services.ledger.close();
    this.#services.presence.close();
  }
}
