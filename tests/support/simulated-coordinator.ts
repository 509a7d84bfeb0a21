import { AgentHello, FromAgent, type ToAgent } from '#actors/contract/agent-link.ts';
import { holdSession } from '#actors/device/held-session.ts';
import { spawnGrid, type GridRefs } from '#actors/grid.ts';
import { createJobDesk } from '#actors/job/job-desk.ts';
import type { JobDesk } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { MemoryConnection, MemoryDatabase } from '#actors/store/memory/memory-store.ts';
import type { Pace } from '#actors/store/memory/transaction.ts';
import type { Change, Outcome } from '#actors/store/store.ts';
import { withDatabaseRetry } from '#runtime/database/connection-errors.ts';
import { createLedger } from '#runtime/database/ledger.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import type { Objects } from '#runtime/objects/objects.ts';
import type { Log } from '#runtime/observe/log.ts';
import { createInProcessPresence } from '#runtime/presence/in-process-presence.ts';
import type { Presence } from '#runtime/presence/presence.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { virtualProcess, type VirtualProcess } from '#runtime/simulation/virtual-process.ts';

import type { SimulatedNetwork } from './simulated-network.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** Tries of idempotent work while the database is away; as the real coordinator. */
const PATIENCE = 100;

export interface CoordinatorWorld {
  readonly host: VirtualHost;
  readonly network: SimulatedNetwork;
  readonly database: MemoryDatabase;
  readonly objects: Objects;
  readonly key: KeyPair;
  readonly random: (length: number) => Uint8Array;
  /** How the database treats this process. */
  readonly paceOf: (coordinator: SimulatedCoordinator) => Pace;
  readonly onCrash: (coordinator: SimulatedCoordinator, report: CrashReport) => void;
  readonly onEnd: (system: System) => void;
}

/** A presence whose memory can be lost, as Redis loses it when it restarts empty. */
function forgetfulPresence(open: () => Presence): Presence & { wipe(): void } {
  let current = open();
  let listener: Parameters<Presence['onDue']>[0] | null = null;
  return {
    set: (id, token, ttlMs) => current.set(id, token, ttlMs),
    renew: (entries) => current.renew(entries),
    remove: (id, token) => current.remove(id, token),
    onDue(callback) {
      listener = callback;
      current.onDue(callback);
    },
    close: () => current.close(),
    wipe() {
      current.close();
      current = open();
      if (listener !== null) current.onDue(listener);
    },
  };
}

/** One coordinator process: all real actors, ledger and link, as `actors/coordinator.ts` puts them together, without its doors. */
export class SimulatedCoordinator {
  readonly name: string;
  readonly process: VirtualProcess;
  readonly #world: CoordinatorWorld;
  readonly #connection: MemoryConnection;
  readonly #presence: ReturnType<typeof forgetfulPresence>;
  system: System | null = null;
  refs: GridRefs | null = null;
  desk: JobDesk | null = null;
  epochs: ReadonlyMap<number, number> = new Map();

  constructor(name: string, world: CoordinatorWorld) {
    this.name = name;
    this.#world = world;
    this.process = virtualProcess(world.host, name);
    this.#connection = world.database.connect(world.paceOf(this));
    this.#presence = forgetfulPresence(() => createInProcessPresence(this.process.host));
  }

  async boot(): Promise<void> {
    const { network, objects, key, random, onCrash } = this.#world;
    const { host } = this.process;
    const { store } = this.#connection;
    const patiently = <T>(work: () => Promise<T>): Promise<T> => withDatabaseRetry(work, { host, attempts: PATIENCE });
    const ledger = createLedger<Change, Outcome>({ host, commit: (batch) => store.commit(batch), maxBatch: 500, maxDelayMs: 10 });
    this.epochs = await patiently(() => store.takePartitions(this.name));
    const services: Services = { store, ledger, objects, presence: this.#presence, key, log: silent, patiently, epochs: this.epochs };
    const system = createSystem({ name: this.name, host, onCrash: (report) => onCrash(this, report) });
    this.system = system;
    const refs = spawnGrid(system, {
      services,
      audience: { job: () => {}, jobChanged: () => {}, device: () => {} },
      randomBytes: random,
    });
    this.refs = refs;
    this.#presence.onDue((due) => void refs.devices.due(due));
    this.desk = createJobDesk({ services, jobs: refs.jobs, placement: refs.placement, clock: host.clock });
    const link = createLinkServer<FromAgent, ToAgent>({
      host,
      key,
      decode: (raw) => FromAgent.parse(raw),
      async authenticate(peer) {
        const device = await store.findDevice(peer);
        if (device === null || device.state === 'revoked') return { refuse: 'the device is unknown or revoked' };
        return { publicKey: device.publicKey };
      },
      entropy: random,
      onSession(session) {
        refs.devices.opened({ session: holdSession(session), hello: AgentHello.parse(session.hello) });
      },
    });
    network.listen('grid', this.process, (socket) => link.accept(socket));
  }

  /** What the composition root does when the database is back after it was away. */
  databaseIsBack(): void {
    this.process.enter(() => void this.refs?.jobs.reload());
  }

  wipePresence(): void {
    this.process.enter(() => this.#presence.wipe());
  }

  crash(silently: boolean): void {
    if (this.process.state === 'dead') return;
    if (this.system !== null) this.#world.onEnd(this.system);
    this.process.kill();
    this.#connection.close();
    this.#world.network.died(this.process, silently);
  }
}
