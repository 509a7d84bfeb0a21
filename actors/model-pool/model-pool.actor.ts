import type { ModelDelivery } from '#actors/contract/agent-link.ts';
import { estimateModelMemory } from '#actors/contract/gguf/memory-estimate.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { ModelRow, StoredModelRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { Autoscale, type PoolLoad } from './autoscale.ts';
import { FairQueue } from './fair-queue.ts';
import { acquireAny } from './pool-choice.ts';
import { ModelPoolProtocol, type Acquirer, type PoolReport, type ServingDevice } from './model-pool.protocol.ts';
import { bestCandidate, bestFor, loadable, RETRY_MS, retired, retryAt, victimOf, type Active, type Replica } from './model-pool.state.ts';
import { WarmPrompts } from './warm-prompts.ts';

/** Acquirers that wait at most; more are told to come back. */
const MAX_WAITING = 4_096;
/** A replica that may be tried again within this time is worth waiting for. */
const WORTH_WAITING_MS = 5_000;
/** A replica whose host died is loaded again after so long, doubling with each death. */
const CRASH_RETRY_MS = 250;
/** Generations at once that the memory estimate reckons with; agents load models for so many unless they are told otherwise. */
const USUAL_SEQUENCES = 4;
/** Long enough for a large file over an office network; a device that needs longer is given a new address. */
const DELIVERY_TTL_SECONDS = 6 * 3_600;

export interface ModelPoolArgs {
  readonly services: Services;
  readonly model: ModelRow;
  readonly stored: StoredModelRow | null;
  /** Connected devices that can serve models, by id; the actor of all models keeps it. */
  readonly serving: ReadonlyMap<string, ServingDevice>;
}

/** How old the list of devices in quarantine may be. */
const REVIEW_MS = 30_000;

/** A replica that ran nothing for so long is unloaded. */
const IDLE_MS = 30 * 60_000;

/** Whether there are enough replicas is judged so often. */
const JUDGE_MS = 1_000;

/** Sequences of a replica whose number nobody said. */
const USUAL_WARM = 16;

type Waiting = Acquirer & { readonly since: number };

type Entry = Replica & { readonly ref: DeviceRef; readonly warm: WarmPrompts; crashes: number; usedAt: number };

/**
 * One model's replicas, and the queue in front of them. A stampede of acquirers causes one load; all of them wait for it. When all
 * slots are taken the queue is fair by key, and a key that has nothing running may take a slot from the one that has most.
 */
export const modelPoolActor = defineActor({
  protocol: ModelPoolProtocol,
  mailbox: { capacity: 16_384 },
  start(context, args: ModelPoolArgs) {
    const { services, model, serving } = args;
    let { stored } = args;
    const replicas = new Map<string, Entry>();
    const queue = new FairQueue<Waiting>();
    const autoscale = new Autoscale();
    const active = new Map<GenerationRef, Active>();
    /** Devices on which each has a slot: more than one while it is about to leave the first. */
    const slots = new Map<GenerationRef, string[]>();
    /** Devices whose answers were found wrong. */
    let quarantined: readonly string[] = [];

    context.showState(() => ({
      model: model.name,
      waiting: queue.size,
      replicas: Array.from(replicas.values(), ({ ref: _ref, ...rest }) => rest),
    }));

    context.every(IDLE_MS / 10, releaseIdle);
    context.every(JUDGE_MS, scale);
    context.every(REVIEW_MS, review);
    review();

    /** Other coordinators learn about devices too, and people end quarantines. */
    function review(): void {
      context.pipe(services.store.standings({ app: model.sha256 }), (result) => {
        if (!result.ok) return;
        quarantined = result.value.filter((row) => row.quarantine !== null).map((row) => row.device);
        if (queue.size > 0) serve();
      });
    }

    function needsBytes(): number {
      return stored === null
        ? model.size
        : estimateModelMemory(stored.header, { contextSize: model.contextSize, sequences: USUAL_SEQUENCES });
    }

    function startLoad(exclude: readonly string[]): 'loading' | 'later' | 'nowhere' {
      const others = [...replicas.values()].filter((r) => !exclude.includes(r.device));
      if (others.some((r) => r.state === 'loading' || r.state === 'downloading')) return 'loading';
      const now = context.clock.now();
      const next = loadable(others, now);
      const entry = next && replicas.get(next.device);
      if (entry === undefined) {
        const candidate =
          stored === null ? undefined : bestCandidate(serving.values(), needsBytes(), (d) => replicas.has(d) || exclude.includes(d));
        if (candidate !== undefined) {
          load(enter(candidate));
          return 'loading';
        }
        const soonest = Math.min(...others.filter((r) => r.state === 'failed').map(retryAt));
        if (!(soonest - now <= WORTH_WAITING_MS)) return 'nowhere';
        context.after(Math.max(1, soonest - now), serve);
        return 'later';
      }
      load(entry);
      return 'loading';
    }

    function enter({ device, ref, capacity }: { device: string; ref: DeviceRef; capacity: number }): Entry {
      const entry: Entry = {
        device, ref, capacity, state: 'offered', memoryBytes: 0, active: 0, failedAt: 0, retryMs: RETRY_MS, reason: '', draining: false, avoided: false, retiring: false, crashes: 0, usedAt: 0,
        warm: new WarmPrompts(Number.isFinite(capacity) ? capacity : USUAL_WARM),
      }; // prettier-ignore
      replicas.set(device, entry);
      context.watch(ref, () => {
        // A newer session of the device may have replaced the entry already.
        if (replicas.get(device)?.ref === ref) replicas.delete(device);
        serve();
      });
      return entry;
    }

    function load(entry: Entry): void {
      entry.state = 'loading';
      services.log.info({ model: model.name, device: entry.device }, 'loading model');
      const order = { model: model.name, sha256: model.sha256, pool: context.self, needsBytes: needsBytes() };
      if (stored === null) return void entry.ref.loadModel(order);
      // The file rides along: whether the device still has it is known there and only there.
      context.pipe(deliveryOf(stored), (result) => {
        if (replicas.get(entry.device) !== entry) return;
        if (result.ok) return void entry.ref.loadModel({ ...order, file: result.value });
        services.log.warn({ model: model.name, error: result.error }, 'the model’s file could not be handed out');
        failed(entry, 'the grid’s object store does not answer');
        serve();
      });
    }

    /** Gives its memory back. It is asked for no longer from here on, and loaded again when somebody wants it. */
    function release(entry: Entry): void {
      entry.state = 'offered';
      entry.warm.forget();
      services.log.info({ model: model.name, device: entry.device }, 'unloading model');
      entry.ref.unloadModel(model.name);
    }

    /** Gives the memory of a machine back that is drained, or asks for quiet while others can serve. */
    function releaseDrained(entry: Entry): void {
      if (entry.active > 0 || entry.state !== 'ready') return;
      const others = [...replicas.values()].some((r) => r !== entry && r.state === 'ready' && !r.draining && !r.avoided && !r.retiring);
      if (entry.draining || ((entry.avoided || entry.retiring) && others)) release(entry);
    }

    /** More replicas while the queue says so, fewer after a long calm. What they need is between the devices' ledgers and them. */
    function scale(): void {
      const scaling = autoscale.judge(loadNow());
      if (scaling === null) return;
      if ('grow' in scaling) {
        for (const entry of replicas.values()) entry.retiring = false;
        for (let n = 0; n < scaling.grow && growByOne(); n++);
        return;
      }
      const leaving = retired(replicas.values());
      const entry = leaving && replicas.get(leaving.device);
      if (entry === undefined) return;
      services.log.info({ model: model.name, device: entry.device }, 'one replica less will do');
      entry.retiring = true;
      releaseDrained(entry);
    }

    function loadNow(): PoolLoad {
      const now = context.clock.now();
      const ready = [...replicas.values()].filter((r) => r.state === 'ready' && !r.draining);
      const sum = (of: (entry: Entry) => number): number => ready.reduce((total, entry) => total + of(entry), 0);
      return {
        now,
        waiting: queue.size,
        oldestMs: queue.keys().reduce((most, key) => Math.max(most, now - (queue.first(key)?.since ?? now)), 0),
        ready: ready.length,
        coming: [...replicas.values()].filter((r) => r.state === 'loading' || r.state === 'downloading').length,
        slots: sum((r) => r.capacity),
        slotsOfOne: Math.min(...ready.map((r) => r.capacity)),
        active: sum((r) => r.active),
      };
    }

    /** False when nobody is left who could take one. */
    function growByOne(): boolean {
      const willing = [...replicas.values()].filter((r) => !r.avoided && !quarantined.includes(r.device));
      const next = loadable(willing, context.clock.now());
      const known = next && replicas.get(next.device);
      const candidate =
        known === undefined && stored !== null
          ? bestCandidate(serving.values(), needsBytes(), (d) => replicas.has(d) || quarantined.includes(d))
          : undefined;
      const entry = known ?? (candidate && enter(candidate));
      if (entry !== undefined) load(entry);
      return entry !== undefined;
    }

    /** A model that nobody has used for long gives its memory back. */
    function releaseIdle(): void {
      const since = context.clock.now() - IDLE_MS;
      for (const entry of replicas.values()) if (entry.state === 'ready' && entry.active === 0 && entry.usedAt <= since) release(entry);
    }

    function failed(entry: Entry, reason: string): void {
      const crashed = entry.state === 'ready';
      entry.crashes = crashed ? entry.crashes + 1 : 0;
      entry.failedAt = context.clock.now();
      entry.retryMs = crashed ? Math.min(RETRY_MS, CRASH_RETRY_MS * 2 ** (entry.crashes - 1)) : RETRY_MS;
      entry.reason = reason;
      entry.state = 'failed';
    }

    async function deliveryOf(row: StoredModelRow): Promise<ModelDelivery> {
      const chunks = await services.objects.head(row.chunks);
      if (chunks === null) throw new GridError('OBJECT_MISSING', `object ${row.chunks} is gone from the store`);
      const get = await services.objects.presignGet({ sha256: row.sha256, size: row.size }, DELIVERY_TTL_SECONDS);
      const getChunks = await services.objects.presignGet(chunks, DELIVERY_TTL_SECONDS);
      return { size: row.size, get, chunks: { ...chunks, get: getChunks }, contextSize: model.contextSize };
    }

    function whyNot(): GridError {
      const reasons = [...replicas.values()].filter((r) => r.reason !== '').map((r) => `${r.device}: ${r.reason}`);
      return new GridError('MODEL_FAILED', `model ${model.name} cannot be served now: ${reasons.join('; ') || whyNone()}`, {
        fix: '`corpgrid models` shows what it needs, `corpgrid devices` who could serve it',
      });
    }

    function whyNone(): string {
      if (replicas.size > 0) return quarantined.length > 0 ? 'no device that is not in quarantine has it ready' : 'no replica is ready';
      if (stored === null) return 'no connected device offers it';
      if (serving.size === 0) return 'no connected device serves models';
      return `it needs about ${gib(needsBytes())} GiB of memory, and no connected device has that`;
    }

    function serve(): void {
      while (serveOne());
    }

    /** Serves the first key that can be served. False when nobody can be now. */
    function serveOne(): boolean {
      let wantsSlot: Acquirer | undefined;
      for (const key of queue.keys()) {
        const next = queue.first(key);
        if (next === undefined) continue;
        const exclude = quarantined.length === 0 ? next.exclude : [...next.exclude, ...quarantined];
        const entry = bestFor(next.prompt ?? [], replicas.values(), exclude);
        if (entry !== undefined) {
          queue.shift(key);
          admit(next, entry);
          return true;
        }
        const ready = [...replicas.values()].some((r) => r.state === 'ready' && !r.draining && !exclude.includes(r.device));
        if (ready) wantsSlot ??= next;
        else if (next.readyOnly === true || startLoad(exclude) === 'nowhere') {
          queue.shift(key);
          if (!acquireAny(next, next.elsewhere ?? [])) next.owner.noReplica(whyNot());
          return true;
        }
      }
      if (wantsSlot !== undefined) preemptFor(wantsSlot);
      return false;
    }

    function admit({ owner, key, prompt }: Acquirer, entry: Entry): void {
      // A generation that its client left meanwhile takes no replica.
      if (owner.replica({ device: entry.device, ref: entry.ref, pool: context.self }) !== 'accepted') return;
      entry.active += 1;
      if (prompt !== undefined && prompt.length > 0) entry.warm.used(prompt);
      // One that is about to leave a device holds a slot there until it has let go: the newer one counts.
      active.set(owner, { owner, key, device: entry.device, leaving: false });
      hold(owner, entry.device);
      queue.charge(key, 1);
    }

    /** One that ends without giving back, as with its coordinator, holds no slot for ever. */
    function hold(owner: GenerationRef, device: string): void {
      const held = slots.get(owner);
      if (held !== undefined) return void held.push(device);
      slots.set(owner, [device]);
      // The news overtakes what it said before its end: that comes first.
      context.watch(owner, () => void context.self.gone(owner));
    }

    /** `tokens`: null when the slot was not used at all. */
    function giveBack(device: string, owner: GenerationRef, tokens: number | null): void {
      const held = slots.get(owner);
      const at = held?.indexOf(device) ?? -1;
      if (at < 0) return;
      held?.splice(at, 1);
      const entry = replicas.get(device);
      if (entry !== undefined) {
        entry.active = Math.max(0, entry.active - 1);
        entry.usedAt = context.clock.now();
        releaseDrained(entry);
      }
      const known = active.get(owner);
      if (known?.device === device) {
        active.delete(owner);
        if (tokens !== null) queue.charge(known.key, tokens);
      }
      serve();
    }

    function preemptFor({ key, exclude }: Acquirer): void {
      const victim = victimOf({ key, exclude, queue, active: [...active.values()] });
      if (victim === undefined) return;
      victim.leaving = true;
      victim.owner.preempt();
    }

    return {
      offered({ device, ref, capacity }) {
        enter({ device, ref, capacity });
        serve();
      },
      state({ device, state, memoryBytes, reason }) {
        const entry = replicas.get(device);
        if (entry === undefined) return;
        entry.memoryBytes = memoryBytes;
        if (state === 'failed') failed(entry, reason ?? 'unknown');
        else entry.state = state === 'unloaded' ? 'offered' : state;
        // Whatever it knew, it starts anew.
        if (entry.state !== 'ready') entry.warm.forget();
        if (state === 'ready') {
          entry.retiring = false;
          entry.reason = '';
          entry.usedAt = context.clock.now();
        }
        serve();
      },
      avoid({ device, on }) {
        const entry = replicas.get(device);
        if (entry === undefined) return;
        entry.avoided = on;
        releaseDrained(entry);
      },
      makeRoom(device) {
        const entry = replicas.get(device);
        if (entry === undefined) return;
        if (entry.active > 0 || entry.state !== 'ready' || queue.size > 0) return void entry.ref.keepModel(model.name);
        release(entry);
      },
      draining({ device, on }) {
        const entry = replicas.get(device);
        if (entry !== undefined) {
          entry.draining = on;
          releaseDrained(entry);
        }
        serve();
      },
      acquire(acquirer) {
        if (queue.size >= MAX_WAITING) {
          return void acquirer.owner.noReplica(new GridError('BUSY', `too many requests wait for model ${model.name}`));
        }
        queue.push(acquirer.key, { ...acquirer, since: context.clock.now() });
        serve();
      },
      adopt({ device, ref, owner, key }) {
        const entry = replicas.get(device) ?? enter({ device, ref, capacity: serving.get(device)?.capacity ?? USUAL_WARM });
        entry.active += 1;
        active.set(owner, { owner, key, device, leaving: false });
        hold(owner, device);
        // It is there: the device says so as soon as it is asked, and its memory is in the books.
        if (entry.state === 'offered') load(entry);
      },
      abandon(owner) {
        queue.remove((acquirer) => acquirer.owner === owner);
      },
      gone(owner) {
        for (const device of slots.get(owner)?.slice() ?? []) giveBack(device, owner, 0);
        slots.delete(owner);
      },
      release: ({ device, owner, tokens, unused = false }) => giveBack(device, owner, unused ? null : tokens),
      judged: review,
      stored(row) {
        stored = row;
        serve();
      },
      load({ device }) {
        const known = device === undefined ? loadable(replicas.values(), context.clock.now()) : replicas.get(device);
        const entry = known && replicas.get(known.device);
        if (entry !== undefined) {
          if (entry.state === 'offered' || entry.state === 'failed') load(entry);
          return;
        }
        const chosen = device === undefined ? bestCandidate(serving.values(), needsBytes(), (d) => replicas.has(d)) : serving.get(device);
        if (stored === null || chosen === undefined) {
          throw new GridError(
            'CONFLICT',
            `model ${model.name} cannot be loaded ${device === undefined ? 'anywhere' : 'there'}: ${whyNone()}`,
            {
              path: 'device',
              fix: '`corpgrid models` shows what it needs and on which devices it fits',
            },
          );
        }
        load(enter(chosen));
      },
      unload({ device }) {
        for (const entry of replicas.values()) {
          if (device !== undefined && entry.device !== device) continue;
          if (entry.state === 'ready' || entry.state === 'loading') entry.ref.unloadModel(model.name);
        }
      },
      report(): PoolReport {
        const needs = stored === null ? null : needsBytes();
        const fitting = needs === null ? [] : [...serving.values()].filter((d) => d.memoryBytes >= needs);
        return {
          model,
          stored,
          needsBytes: needs,
          fitsOn: fitting.map((d) => d.name).sort(),
          replicas: [...replicas.values()].map(({ device, state, memoryBytes, active }) => ({ device, state, memoryBytes, active })),
        };
      },
    };
  },
});

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}
