import { ToAgent, type Capabilities, type FromAgent, type RunCommand, type VoteMessage } from '#actors/contract/agent-link.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import type { ModelsArgs } from '#agent/models/models.actor.ts';
import { UNKNOWN_VITALS, type Vitals } from '#actors/contract/vitals.ts';
import { ModelsProtocol } from '#agent/models/models.protocol.ts';
import type { Epochs } from '#agent/session/epochs.ts';
import type { Journal } from '#agent/session/journal.ts';
import { sessionActor } from '#agent/session/session.actor.ts';
import { pause } from '#runtime/database/backoff.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import type { Log } from '#runtime/observe/log.ts';
import type { VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { virtualProcess, type VirtualProcess } from '#runtime/simulation/virtual-process.ts';

import { simulatedAttempt, type AttemptWorld } from './simulated-attempt.ts';
import type { SimulatedNetwork } from './simulated-network.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

const VITALS: Vitals = { ...UNKNOWN_VITALS, power: 'mains' };

const CAPABILITIES: Capabilities = {
  agentVersion: 'simulated',
  hostname: 'simulated',
  os: 'linux',
  arch: 'x64',
  cores: 2,
  memoryBytes: 1_000_000_000,
  slots: 2,
  kinds: ['wasm'],
  gpus: [],
  models: [],
};

function noFiles(): never {
  throw new Error('no model is fetched in the simulation of jobs');
}

/** No model is served in the simulation of jobs. */
const noModels = defineActor<typeof ModelsProtocol, ModelsArgs>({
  protocol: ModelsProtocol,
  start: () => ({ load: () => {}, unload: () => {}, generate: () => {}, compute: () => {}, cancel: () => {}, abandon: () => {} }),
});

export interface AgentWorld {
  readonly host: VirtualHost;
  readonly network: SimulatedNetwork;
  readonly random: (length: number) => Uint8Array;
  /** Key of the grid. */
  readonly serverKey: string;
  readonly address: () => string;
  readonly attempt: Omit<AttemptWorld, 'onObeyed'>;
  readonly onObeyed: (agent: SimulatedAgent, command: RunCommand) => void;
  /** The grid said that this vote is durable, and the agent is about to forget it. */
  readonly onSettled: (agent: SimulatedAgent, vote: VoteMessage) => void;
  /** A process ended, as it was in its last moment. */
  readonly onEnd: (system: System) => void;
}

/** What survives a crash: the votes and epochs that had reached the disk. */
interface Disk {
  readonly votes: Map<string, VoteMessage>;
  readonly epochs: Map<string, number>;
  full: boolean;
}

/** One machine: the real session actor and link over a simulated network, disk and executor. */
export class SimulatedAgent {
  readonly id: string;
  readonly key: KeyPair;
  readonly disk: Disk = { votes: new Map(), epochs: new Map(), full: false };
  readonly #world: AgentWorld;
  #life: { readonly process: VirtualProcess; readonly system: System } | null = null;
  #lives = 0;
  refusedForGood = false;

  constructor(id: string, key: KeyPair, world: AgentWorld) {
    this.id = id;
    this.key = key;
    this.#world = world;
  }

  get process(): VirtualProcess | null {
    return this.#life?.process ?? null;
  }

  get system(): System | null {
    return this.#life?.system ?? null;
  }

  start(): void {
    if (this.#life !== null) return;
    const { host, network, serverKey, address, random } = this.#world;
    this.#lives += 1;
    const process = virtualProcess(host, this.id);
    const system = createSystem({ name: `${this.id}.${this.#lives}`, host: process.host });
    this.#life = { process, system };
    system.spawn({
      id: 'session',
      actor: sessionActor,
      restart: 'permanent',
      args: {
        capabilities: CAPABILITIES,
        vitals: VITALS,
        readVitals: () => Promise.resolve(VITALS),
        key: this.key,
        gridUrl: () => 'http://grid',
        epochs: this.#openEpochs(process),
        journal: this.#openJournal(process),
        executor: { run: () => Promise.reject(new Error('the simulated attempt runs nothing')) },
        cacheFolder: '',
        workFolder: '',
        log: silent,
        attempt: simulatedAttempt({ ...this.#world.attempt, onObeyed: (command) => this.#world.onObeyed(this, command) }),
        models: noModels,
        modelArgs: {
          host: process.host,
          offered: [],
          files: noFiles,
          gridUrl: () => 'http://grid',
          signatory: { device: this.id, key: this.key },
          sequences: 1,
          log: silent,
        },
        openLink: (events, hello) =>
          createLinkClient<ToAgent, FromAgent>({
            host: process.host,
            connect: () => network.dial(process, address()),
            peer: this.id,
            key: this.key,
            serverKey,
            hello,
            decode: (raw) => ToAgent.parse(raw),
            entropy: random,
            ...events,
          }),
        onRefused: () => (this.refusedForGood = true),
        onState: () => {},
      },
    });
  }

  /** Power cut or kill -9: what was not on the disk is gone. */
  crash(silently: boolean): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    this.#world.onEnd(life.system);
    life.process.kill();
    this.#world.network.died(life.process, silently);
  }

  #openEpochs(process: VirtualProcess): Epochs {
    const { disk } = this;
    const highest = new Map(disk.epochs);
    let writing = Promise.resolve();
    return {
      admit: async (partition, epoch) => {
        const key = String(partition);
        const known = highest.get(key) ?? -1;
        if (epoch < known) return false;
        if (epoch > known) {
          highest.set(key, epoch);
          writing = writing.then(async () => {
            await this.#write(process);
            for (const [name, value] of highest) disk.epochs.set(name, value);
          });
        }
        await writing;
        return true;
      },
      all: () => Object.fromEntries(highest),
    };
  }

  #openJournal(process: VirtualProcess): Journal {
    const { disk } = this;
    const votes = new Map(disk.votes);
    return {
      add: async (vote) => {
        await this.#write(process);
        if (disk.full) throw new Error('ENOSPC: no space left on device');
        disk.votes.set(fenceText(vote.fence), vote);
        votes.set(fenceText(vote.fence), vote);
      },
      settle: async (fence) => {
        const vote = votes.get(fenceText(fence));
        if (vote !== undefined) this.#world.onSettled(this, vote);
        votes.delete(fenceText(fence));
        await this.#write(process);
        disk.votes.delete(fenceText(fence));
      },
      pending: () => [...votes.values()].sort((a, b) => a.fence.seq - b.fence.seq),
    };
  }

  /** A write with its fsync, in this process's time. A dead process's write never ends. */
  async #write(process: VirtualProcess): Promise<void> {
    await pause(process.host, 0.5 + this.#world.host.random() * 3);
  }
}
