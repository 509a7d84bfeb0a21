import type { DeviceRef } from '#actors/device/device.protocol.ts';
import { DeviceProtocol } from '#actors/device/device.protocol.ts';
import { ModelMemory } from '#actors/device/model-memory.ts';
import { GenerationProtocol, type GenerationRef } from '#actors/generation/generation.protocol.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { defineActor, type Handlers } from '#runtime/kernel/actor.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';
import { randomFrom } from '#tests/support/gguf/random-weights.ts';
import { logRecord } from '#tests/support/log-record.ts';

import type { Benchmark } from './benchmark.ts';

const GIB = 1024 ** 3;
const DEVICES = 5;
const MODELS = 8;
const STAMPEDE = 200;
const SEQUENCES = 4;

/** What the grid's own books say of a device, and what is really there. */
interface Machine {
  readonly name: string;
  readonly totalBytes: number;
  ref: DeviceRef;
  memory: ModelMemory;
  foreignBytes: number;
  /** Bytes that models have, from the beginning of their load to the end of their unload. */
  readonly resident: Map<string, number>;
  readonly running: Map<GenerationRef, string>;
}

/**
 * Pools of models and ledgers of devices as the grid runs them, in virtual time, under random requests, loads, unloads, lost devices and
 * programs of others that come and go. Behind them agents that load slowly; what they hold is counted apart from the ledger.
 */
export const memoryLedger: Benchmark = {
  about: 'memory of models under random loads, unloads, leaves and foreign use: nothing oversold, nothing busy evicted',
  async run({ quick, note }) {
    const world = new World(quick ? 5 : 1);
    const steps = 10_000;
    for (let step = 1; step <= steps; step++) {
      await world.step();
      if (step % 2_500 === 0) note(`${step} steps: ${JSON.stringify(world.counts)}`);
    }
    await world.end();
    const { oversold, busyEvicted, mostLoadsInStampede, ...others } = world.counts;
    return {
      figures: { steps, oversold, busyEvicted, mostLoadsInStampede, ...others },
      ratios: {},
      targets: {
        oversold: { atMost: 0 },
        busyEvicted: { atMost: 0 },
        mostLoadsInStampede: { atMost: 1 },
        // A world where nothing happens proves nothing.
        loads: { atLeast: 300 },
        evictions: { atLeast: 100 },
        stampedes: { atLeast: 50 },
      },
      absent: {},
    };
  },
};

function handlersOf<P extends Protocol>(protocol: P, some: Partial<Handlers<P>>): Handlers<P> {
  const all = Object.fromEntries(protocol.kinds.map((kind) => [kind, () => {}]));
  return { ...all, ...some } as Handlers<P>;
}

class World {
  readonly counts = {
    oversold: 0,
    busyEvicted: 0,
    mostLoadsInStampede: 0,
    loads: 0,
    evictions: 0,
    refused: 0,
    stampedes: 0,
    leaves: 0,
    served: 0,
  };
  readonly #host = virtualHost(1);
  readonly #system = createSystem({ name: 'bench', host: this.#host, onCrash: ({ error }) => this.#crashed(error) });
  readonly #random: () => number;
  readonly #pools: { readonly name: string; readonly size: number; readonly ref: ModelPoolRef }[];
  readonly #machines: Machine[];
  readonly #waiting = new Set<GenerationRef>();
  readonly #loadsOf = new Map<string, number>();
  #ids = 0;
  #crash: unknown;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
    // A pool of offered models asks for nothing else: nobody is in quarantine.
    const services = { log: logRecord(), store: { standings: () => Promise.resolve([]) } } as unknown as Services;
    this.#pools = Array.from({ length: MODELS }, (_, n) => {
      const model = {
        name: `model-${n}`,
        sha256: String(n).repeat(64),
        size: Math.round((1 + this.#random() * 9) * GIB),
        contextSize: 512,
      };
      const args = { services, model, stored: null, serving: new Map() };
      return {
        name: model.name,
        size: model.size,
        ref: this.#system.spawn({ id: model.name, actor: modelPoolActor, restart: 'permanent', args }),
      };
    });
    this.#machines = Array.from({ length: DEVICES }, (_, n) => this.#join(`device-${n}`, (8 + 4 * n) * GIB));
  }

  /** Does one thing by chance, lets it take effect, and checks. */
  async step(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.25) this.#ask(this.#any(this.#pools));
    else if (dice < 0.56) this.#finishOne();
    else if (dice < 0.66) this.#foreign(this.#any(this.#machines));
    else if (dice < 0.67) this.#leave();
    else if (dice < 0.69) await this.#stampede();
    else if (dice < 0.72) this.#unloadIdle();
    else await this.#host.advance(Math.round(this.#random() * 8_000));
    await this.#host.settle();
    if (this.#crash !== undefined) throw this.#crash;
    for (const machine of this.#machines) if (bytesOn(machine) > machine.totalBytes) this.counts.oversold += 1;
  }

  async end(): Promise<void> {
    const shutdown = this.#system.shutdown();
    for (let i = 0; i < 20; i++) await this.#host.advance(1_000);
    await shutdown;
  }

  #crashed(error: unknown): void {
    this.#crash ??= error;
  }

  #any<T>(list: readonly T[]): T {
    const one = list[Math.floor(this.#random() * list.length)];
    if (one === undefined) throw new Error('there is nothing to choose from');
    return one;
  }

  #join(name: string, totalBytes: number): Machine {
    const machine = { name, totalBytes, foreignBytes: 0, resident: new Map(), running: new Map() } as unknown as Machine;
    const poolOf = (model: string): ModelPoolRef | undefined => this.#pools.find((p) => p.name === model)?.ref;
    const tell = (model: string, state: 'ready' | 'unloaded' | 'failed', memoryBytes: number): void => {
      if (machine.memory.state(model, state, memoryBytes)) poolOf(model)?.state({ device: name, state, memoryBytes });
    };
    machine.memory = new ModelMemory(totalBytes, {
      load: (model) => this.#load(machine, model, tell),
      askToGo: (model) => {
        this.counts.evictions += 1;
        poolOf(model)?.makeRoom(name);
      },
      refuse: (model, reason) => {
        this.counts.refused += 1;
        poolOf(model)?.state({ device: name, state: 'failed', memoryBytes: 0, reason });
      },
    });
    const { memory } = machine;
    const definition = defineActor({
      protocol: DeviceProtocol,
      start: () =>
        handlersOf(DeviceProtocol, {
          loadModel: ({ model, needsBytes }) => memory.want(model, needsBytes),
          keepModel: (model) => memory.keeps(model),
          unloadModel: (model) => {
            memory.leaves(model);
            if ([...machine.running.values()].includes(model)) this.counts.busyEvicted += 1;
            const ref = machine.ref;
            this.#host.scheduler.after(Math.round(this.#random() * 1_000), () => {
              if (machine.ref !== ref || !machine.resident.delete(model)) return;
              tell(model, 'unloaded', 0);
              this.#beat(machine);
            });
          },
        }),
    });
    machine.ref = this.#system.spawn({ id: `${name}.${++this.#ids}`, actor: definition, restart: 'temporary', args: undefined });
    for (const { ref } of this.#pools) ref.offered({ device: name, ref: machine.ref, capacity: SEQUENCES });
    this.#beat(machine);
    return machine;
  }

  /** The engine takes its time, and then a little less than was thought. One load in ten fails. */
  #load(machine: Machine, model: string, tell: (model: string, state: 'ready' | 'failed', bytes: number) => void): void {
    const size = this.#pools.find((p) => p.name === model)?.size ?? 0;
    this.counts.loads += 1;
    this.#loadsOf.set(model, (this.#loadsOf.get(model) ?? 0) + 1);
    machine.resident.set(model, size);
    const { ref } = machine;
    const fails = this.#random() < 0.1;
    const bytes = Math.round(size * (0.8 + 0.2 * this.#random()));
    this.#host.scheduler.after(Math.round(this.#random() * 3_000), () => {
      if (machine.ref !== ref || !machine.resident.has(model)) return;
      if (fails) machine.resident.delete(model);
      else machine.resident.set(model, bytes);
      tell(model, fails ? 'failed' : 'ready', fails ? 0 : bytes);
      this.#beat(machine);
    });
  }

  #beat(machine: Machine): void {
    // What loads has not filled its memory yet.
    machine.memory.reading(machine.totalBytes - bytesOn(machine) + machine.memory.loadingBytes);
  }

  /** A generation that takes a replica when it gets one and holds it until it is told to end. */
  #ask({ name: model, ref: pool }: { readonly name: string; readonly ref: ModelPoolRef }): void {
    const id = `generation-${++this.#ids}`;
    const counts = this.counts;
    const machines = this.#machines;
    const waiting = this.#waiting;
    const definition = defineActor({
      protocol: GenerationProtocol,
      start(context) {
        let at: Machine | undefined;
        const end = (): void => {
          if (at !== undefined) {
            if (at.running.delete(context.self)) at.memory.use(model, -1);
            pool.release({ device: at.name, owner: context.self, tokens: 1 });
          } else pool.abandon(context.self);
          waiting.delete(context.self);
          context.stop();
        };
        waiting.add(context.self);
        context.onStop(() => void waiting.delete(context.self));
        pool.acquire({ owner: context.self, key: id, exclude: [] });
        return handlersOf(GenerationProtocol, {
          replica({ device }) {
            at = machines.find((m) => m.name === device);
            at?.running.set(context.self, model);
            at?.memory.use(model, 1);
            counts.served += 1;
          },
          noReplica: end,
          preempt: end,
          cancel: end,
        });
      },
    });
    this.#system.spawn({ id, actor: definition, restart: 'temporary', args: undefined });
  }

  #finishOne(): void {
    const all = [...this.#machines.flatMap(({ running }) => [...running.keys()]), ...this.#waiting];
    if (all.length > 0) this.#any(all).cancel();
  }

  /** Programs of others take what is free, and give it back. */
  #foreign(machine: Machine): void {
    const most = machine.totalBytes - bytesOn(machine) + machine.foreignBytes;
    machine.foreignBytes = Math.round(Math.max(0, most) * this.#random() * 0.5);
    this.#beat(machine);
  }

  /** A device is lost with all that it holds, and comes back empty. */
  #leave(): void {
    const index = Math.floor(this.#random() * this.#machines.length);
    const machine = this.#machines[index];
    if (machine === undefined) return;
    this.counts.leaves += 1;
    for (const generation of machine.running.keys()) generation.cancel();
    machine.running.clear();
    void this.#system.stop(machine.ref);
    this.#machines[index] = this.#join(machine.name, machine.totalBytes);
  }

  /** Many ask at once for a model that is nowhere: one load. */
  async #stampede(): Promise<void> {
    const cold = this.#pools.filter(({ name }) => !this.#machines.some(({ resident }) => resident.has(name)));
    if (cold.length === 0) return;
    const pool = this.#any(cold);
    this.#loadsOf.clear();
    for (let n = 0; n < STAMPEDE; n++) this.#ask(pool);
    await this.#host.settle();
    this.counts.stampedes += 1;
    this.counts.mostLoadsInStampede = Math.max(this.counts.mostLoadsInStampede, this.#loadsOf.get(pool.name) ?? 0);
    for (const generation of [...this.#waiting].slice(-STAMPEDE + SEQUENCES)) generation.cancel();
  }

  #unloadIdle(): void {
    const machine = this.#any(this.#machines);
    const idle = [...machine.resident.keys()].filter((model) => ![...machine.running.values()].includes(model));
    const [model] = idle;
    this.#pools.find((p) => p.name === model)?.ref.makeRoom(machine.name);
  }
}

function bytesOn({ resident, foreignBytes }: Machine): number {
  let sum = foreignBytes;
  for (const bytes of resident.values()) sum += bytes;
  return sum;
}
