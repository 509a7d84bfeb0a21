import { AgentHello, FromAgent, type ToAgent } from '#actors/contract/agent-link.ts';
import { joinCluster } from '#actors/cluster/join-cluster.ts';
import { holdSession } from '#actors/device/held-session.ts';
import { IDLE_LEASE_MS } from '#actors/device/device.state.ts';
import { spawnGrid, type GridRefs } from '#actors/grid.ts';
import { createJobDesk } from '#actors/job/job-desk.ts';
import type { JobDesk } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { MemoryConnection, MemoryDatabase } from '#actors/store/memory/memory-store.ts';
import type { Pace } from '#actors/store/memory/transaction.ts';
import type { Change, Outcome } from '#actors/store/store.ts';
import type { Cluster } from '#runtime/cluster/cluster.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { withDatabaseRetry } from '#runtime/database/connection-errors.ts';
import { createLedger } from '#runtime/database/ledger.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { createLinkServer } from '#runtime/link/server.ts';
import type { Objects } from '#runtime/objects/objects.ts';
import type { Log } from '#runtime/observe/log.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { virtualProcess, type VirtualProcess } from '#runtime/simulation/virtual-process.ts';

import type { SimulatedNetwork } from './simulated-network.ts';
import { simulatedPresence, type SimulatedPresence } from './simulated-presence.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** Tries of idempotent work while the database is away; as the real coordinator. */
const PATIENCE = 100;

export interface CoordinatorWorld {
  readonly host: VirtualHost;
  readonly network: SimulatedNetwork;
  readonly database: MemoryDatabase;
  readonly objects: Objects;
  readonly presence: SimulatedPresence;
  readonly key: KeyPair;
  readonly random: (length: number) => Uint8Array;
  /** How the database treats this process. */
  readonly paceOf: (coordinator: SimulatedCoordinator) => Pace;
  readonly onCrash: (coordinator: SimulatedCoordinator, report: CrashReport) => void;
  readonly onEnd: (system: System) => void;
}

/**
 * One coordinator process: all real actors, the ledger, the links and the cluster, put together as `actors/coordinator.ts` does,
 * without its doors. It listens at its address for agents and at `address peer` for the others.
 */
export class SimulatedCoordinator {
  readonly name: string;
  readonly address: string;
  readonly process: VirtualProcess;
  readonly #world: CoordinatorWorld;
  readonly #connection: MemoryConnection;
  readonly #leases: MemoryConnection;
  system: System | null = null;
  refs: GridRefs | null = null;
  desk: JobDesk | null = null;
  cluster: Cluster | null = null;

  constructor(name: string, address: string, world: CoordinatorWorld) {
    this.name = name;
    this.address = address;
    this.#world = world;
    this.process = virtualProcess(world.host, name);
    this.#connection = world.database.connect(world.paceOf(this));
    this.#leases = world.database.connect(world.paceOf(this));
  }

  /** Settles when it has joined the cluster. Rejects when the real one would end. */
  async boot(): Promise<void> {
    const { network, objects, key, random, onCrash, presence: shared } = this.#world;
    const { host } = this.process;
    const { store } = this.#connection;
    const patiently = <T>(work: () => Promise<T>): Promise<T> => withDatabaseRetry(work, { host, attempts: PATIENCE });
    const ledger = createLedger<Change, Outcome>({ host, commit: (batch) => store.commit(batch), maxBatch: 500, maxDelayMs: 10 });
    const presence = simulatedPresence({
      shared,
      host,
      name: this.name,
      async known() {
        const devices = await store.listDevices();
        return devices
          .filter(({ state }) => state === 'present' || state === 'draining')
          .map(({ id, sessionEpoch }) => ({ id, token: String(sessionEpoch), ttlMs: IDLE_LEASE_MS }));
      },
    });
    const slices = sliceHost(host);
    const system = createSystem({ name: this.name, host: slices.host, onCrash: (report) => onCrash(this, report) });
    this.system = system;
    const joined = joinCluster({
      id: this.name,
      address: () => this.address,
      host,
      slices,
      system,
      // The database's clock is the world's.
      store: this.#leases.cluster(this.#world.host.clock),
      log: silent,
      jobs: () => refs.jobs,
      dial: (address, onRefused) => network.dial(this.process, `${address} peer`, onRefused),
      key: generateKeyPair(random),
    });
    const { cluster } = joined;
    this.cluster = cluster;
    const services: Services = { store, ledger, objects, presence, key, log: silent, patiently, epochs: cluster.epochs };
    const refs: GridRefs = spawnGrid(system, {
      services,
      audience: { job: () => {}, jobChanged: () => {}, device: () => {} },
      randomBytes: random,
      peers: { ...joined, owned: cluster.owned, publish: (name, ref, protocol) => cluster.actors.publish(name, ref, protocol) },
    });
    this.refs = refs;
    presence.onDue((due) => void refs.devices.due(due));
    this.desk = createJobDesk({ services, jobs: refs.allJobs, placement: refs.placement, clock: host.clock });
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
    network.listen(this.address, this.process, (socket) => link.accept(socket));
    network.listen(`${this.address} peer`, this.process, (socket) => cluster.accept(socket));
    await cluster.start();
  }

  /** What the composition root does when the database is back after it was away. */
  databaseIsBack(): void {
    this.process.enter(() => void this.refs?.jobs.reload());
  }

  crash(silently: boolean): void {
    if (this.process.state === 'dead') return;
    if (this.system !== null) this.#world.onEnd(this.system);
    this.process.kill();
    this.#connection.close();
    this.#leases.close();
    this.#world.network.died(this.process, silently);
  }
}
