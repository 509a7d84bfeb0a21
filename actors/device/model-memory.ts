import type { FromAgent } from '#actors/contract/agent-link.ts';

/**
 * The ledger of one device's memory: what models take beside jobs and beside programs that are none of ours.
 *
 *   wanted ──fits──▶ loading ──▶ ready ──asked to go──▶ yielding ──▶ leaving ──▶ (gone)
 *      │                           ▲                       │
 *      │ room is being made        └──── it is busy ───────┘
 *      └──────── no room can be made ──▶ refused
 *
 * A model is debited with an estimate when its load begins and with the engine's own figure once it is there. When one does not fit,
 * idle models are asked to go, the one used longest ago first; whether it is idle only its pool can say. Nobody is asked unless
 * all who might go would make room enough.
 */

export interface ModelMemoryEvents {
  /** There is room: the load may begin. */
  load(model: string): void;
  /** Makes room, unless it is busy: answered by `keeps`, or in time by the state `unloaded`. */
  askToGo(model: string): void;
  refuse(model: string, reason: string): void;
}

interface Held {
  bytes: number;
  state: 'loading' | 'ready' | 'yielding' | 'leaving';
  /** Generations that run. */
  busy: number;
  /** The greater, the later it was used. */
  used: number;
  /** It said no, and nothing changed since. */
  stays: boolean;
}

export class ModelMemory {
  readonly #totalBytes: number;
  readonly #events: ModelMemoryEvents;
  readonly #held = new Map<string, Held>();
  /** In the order in which they came. */
  readonly #wanted = new Map<string, number>();
  #jobBytes = 0;
  /** Free bytes as the device last said. */
  #reading: number | null = null;
  #uses = 0;

  /** @param totalBytes of the memory that models take: that of the GPUs where there are some */
  constructor(totalBytes: number, events: ModelMemoryEvents) {
    this.#totalBytes = totalBytes;
    this.#events = events;
  }

  /** Bytes debited to models, those included whose load has only begun. */
  get modelBytes(): number {
    let sum = 0;
    for (const { bytes } of this.#held.values()) sum += bytes;
    return sum;
  }

  /** Bytes of loads under way, which no reading shows yet. */
  get loadingBytes(): number {
    let sum = 0;
    for (const { bytes, state } of this.#held.values()) if (state === 'loading') sum += bytes;
    return sum;
  }

  /** What another model may take: what the books leave, and no more than the machine itself has left. */
  get freeBytes(): number {
    const books = this.#totalBytes - this.modelBytes - this.#jobBytes;
    return Math.max(0, this.#reading === null ? books : Math.min(books, this.#reading - this.loadingBytes));
  }

  /** A second wish for a model that is on its way changes nothing. */
  want(model: string, needsBytes: number): void {
    const held = this.#held.get(model);
    // Known here already: the device answers by its state.
    if (held !== undefined && held.state !== 'leaving') return this.#events.load(model);
    this.#wanted.set(model, needsBytes);
    this.#settle();
  }

  /** The pool of the model has not let it go: it is busy. */
  keeps(model: string): void {
    const held = this.#held.get(model);
    if (held?.state !== 'yielding') return;
    held.state = 'ready';
    held.stays = true;
    this.#settle();
  }

  /** It is told to unload. Its bytes are debited until they are back. False: nothing of it is there yet, and nothing will be. */
  leaves(model: string): boolean {
    const held = this.#held.get(model);
    if (held === undefined) return !this.#wanted.delete(model);
    held.state = 'leaving';
    return true;
  }

  /** What the device says. False: the model is wanted again already, and nobody needs to hear that it is gone. */
  state(model: string, state: 'downloading' | 'loading' | 'ready' | 'unloaded' | 'failed', bytes: number): boolean {
    const held = this.#held.get(model);
    if (state === 'unloaded' || state === 'failed') {
      this.#held.delete(model);
      const again = this.#wanted.has(model);
      this.#changed();
      return !again;
    }
    if (held === undefined) return true;
    if (state === 'ready') {
      if (held.state === 'loading') held.state = 'ready';
      held.bytes = bytes;
      this.#changed();
    } else held.bytes = Math.max(held.bytes, bytes);
    return true;
  }

  /** A generation of the model begins, or ends. */
  use(model: string, by: 1 | -1): void {
    const held = this.#held.get(model);
    if (held === undefined) return;
    held.busy = Math.max(0, held.busy + by);
    held.used = ++this.#uses;
    if (by < 0) this.#changed();
  }

  /** Memory that jobs were promised. */
  jobs(bytes: number): void {
    const less = bytes < this.#jobBytes;
    this.#jobBytes = bytes;
    if (less) this.#changed();
  }

  /** Free bytes as the machine itself counts them, whoever has the others. */
  reading(freeBytes: number | null): void {
    const more = freeBytes !== null && freeBytes > (this.#reading ?? Number.POSITIVE_INFINITY);
    this.#reading = freeBytes;
    if (more) this.#changed();
  }

  #changed(): void {
    for (const held of this.#held.values()) held.stays = false;
    this.#settle();
  }

  /** Grants or refuses what can be decided now, first come, first served. */
  #settle(): void {
    for (const [model, needsBytes] of this.#wanted) {
      if (this.#held.has(model)) return; // it is still leaving
      if (needsBytes <= this.freeBytes) {
        this.#wanted.delete(model);
        this.#held.set(model, { bytes: needsBytes, state: 'loading', busy: 0, used: ++this.#uses, stays: false });
        this.#events.load(model);
        continue;
      }
      if (this.#makesRoom(needsBytes)) return;
      this.#wanted.delete(model);
      this.#events.refuse(model, `it needs about ${gib(needsBytes)} GiB of memory, and ${gib(this.freeBytes)} GiB are free`);
    }
  }

  /** False when all who might go would not be enough. */
  #makesRoom(needsBytes: number): boolean {
    let coming = this.freeBytes;
    const idle: [string, Held][] = [];
    for (const entry of this.#held) {
      const [, { state, bytes, busy, stays }] = entry;
      if (state === 'leaving' || state === 'yielding') coming += bytes;
      else if (state === 'ready' && busy === 0 && !stays) idle.push(entry);
    }
    if (coming + idle.reduce((sum, [, { bytes }]) => sum + bytes, 0) < needsBytes) return false;
    idle.sort(([, a], [, b]) => a.used - b.used);
    for (const [model, held] of idle) {
      if (coming >= needsBytes) break;
      held.state = 'yielding';
      coming += held.bytes;
      this.#events.askToGo(model);
    }
    return true;
  }
}

/** Free bytes of the memory that models take, and null where the agent cannot say. */
export function freeForModels(gpuBytes: number, { memoryFreeBytes, vitals }: Extract<FromAgent, { type: 'beat' }>): number | null {
  // An agent that could not read it says 0.
  if (gpuBytes === 0) return memoryFreeBytes === 0 ? null : memoryFreeBytes;
  const used = vitals?.gpuUsedBytes ?? [];
  if (used.length === 0 || used.includes(null)) return null;
  return Math.max(0, gpuBytes - used.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0));
}

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}
