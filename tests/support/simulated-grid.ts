import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { Submission, Trust } from '#actors/contract/job-spec.ts';
import { spawnGrid, type GridRefs } from '#actors/grid.ts';
import { createJobDesk } from '#actors/job/job-desk.ts';
import type { JobDesk } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import type { Change, Outcome, Store } from '#actors/store/store.ts';
import { pause } from '#runtime/database/backoff.ts';
import { createLedger } from '#runtime/database/ledger.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import type { Log } from '#runtime/observe/log.ts';
import { createInProcessPresence } from '#runtime/presence/in-process-presence.ts';

import type { Stage } from './actors.ts';
import { memoryObjects } from './memory-objects.ts';
import { SimulatedDevice, type Answer } from './simulated-device.ts';

/** Nothing runs it here; submission checks that an agent could. */
const MODULE = path.resolve(import.meta.dirname, '../../examples/word-count/word-count.wasm');

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

export interface SimulatedGrid {
  readonly refs: GridRefs;
  readonly desk: JobDesk;
  readonly store: Store;
  /** Signs manifests. */
  readonly key: KeyPair;
  readonly devices: SimulatedDevice[];
  readonly objects: ReturnType<typeof memoryObjects>;
  /** `owner` vouches for it, else its token does; a trusted one decides. */
  addDevice(name: string, answer: Answer, who?: { owner?: string; trusted?: boolean }): Promise<SimulatedDevice>;
  /** Submits a job of `shards` plain shards whose right output `answerOf` knows. */
  submit(
    id: string,
    shards: number,
    quorum: number,
    options?: { merge?: boolean; trust?: Trust; changes?: Partial<Submission['spec']>; tenant?: string },
  ): Promise<void>;
  close(): Promise<void>;
}

/** The real actors over the memory store in virtual time; devices are simulated at the link's edge. */
export async function simulatedGrid({ host, system }: Stage, { commitMs = 0 } = {}): Promise<SimulatedGrid> {
  const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(host.random() * 256));
  const store = createMemoryStore({ randomBytes: random });
  const objects = memoryObjects();
  const presence = createInProcessPresence(host);
  const ledger = createLedger<Change, Outcome>({
    host,
    async commit(batch) {
      if (commitMs > 0) await pause(host, commitMs);
      return store.commit(batch);
    },
  });
  const services: Services = {
    store,
    ledger,
    objects,
    presence,
    key: generateKeyPair(random),
    log: silent,
    patiently: (work) => work(),
    epochs: await store.takePartitions('simulated'),
  };
  const refs = spawnGrid(system, { services, audience: { job: () => {}, jobChanged: () => {}, device: () => {} }, randomBytes: random });
  presence.onDue((due) => void refs.devices.due(due));
  const desk = createJobDesk({ services, jobs: refs.jobs, placement: refs.placement, clock: host.clock });
  const devices: SimulatedDevice[] = [];
  const module = objects.keep(await readFile(MODULE));
  await host.settle();

  return {
    refs,
    desk,
    store,
    devices,
    objects,
    key: services.key,
    async addDevice(name, answer, who = {}) {
      const key = generateKeyPair(random);
      const hash = `token-${name}`;
      await store.createEnrolmentToken({ hash, name, uses: 1, expiresAt: host.clock.wall() + 1_000, createdAt: host.clock.wall(), ...who });
      const id = `dev-${name.padEnd(10, '0')}`;
      if ((await store.enrol(hash, { id, name, publicKey: key.publicKey }, host.clock.wall())) === null)
        throw new Error(`${id} could not enrol`);
      const device = new SimulatedDevice({ id, key, host, devices: refs.devices, answer });
      devices.push(device);
      device.connect();
      return device;
    },
    async submit(id, shards, quorum, { merge = false, trust, changes = {}, tenant = 'default' } = {}) {
      const spec: Submission['spec'] = {
        version: 1,
        name: 'simulated',
        kind: 'wasm',
        module,
        args: ['{shard}'],
        shards: { count: shards },
        ...(merge ? { merge: { module, args: ['merge'] } } : {}),
        limits: { memoryMiB: 1, timeoutSeconds: 60, outputMiB: 1 },
        quorum,
        ...(trust === undefined ? {} : { trust }),
        maxFailures: 100,
        priority: 0,
        ...changes,
      };
      await desk.submit({ id, spec }, { tenant, name: 'simulation', role: 'submitter' });
    },
    async close() {
      presence.close();
      await ledger.close();
    },
  };
}
