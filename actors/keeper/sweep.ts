import type { SweepReport } from '#actors/contract/sweep-report.ts';
import type { Store } from '#actors/store/store.ts';
import type { ObjectRef, Objects } from '#runtime/objects/objects.ts';

/**
 * Nobody wanted it for so long: addresses for uploads live an hour, and votes that rest on an uploaded output wait at most a day on a
 * device that is offline; the rest is room for clocks that differ.
 */
export const UNWANTED_MS = 48 * 3_600_000;
/** Rows that are locked at once, and objects that one statement adopts. */
const BATCH = 200;
const ADOPTED_AT_ONCE = 1_000;
const DELETES_AT_ONCE = 16;

export interface Sweeping {
  readonly store: Pick<Store, 'adoptObjects' | 'unwantedObjects' | 'sweepObjects' | 'forgetCheckpoints'>;
  readonly objects: Pick<Objects, 'list' | 'delete' | 'endUploads'>;
  /** Wall clock, ms. */
  readonly at: number;
  /** Between the batches; false ends the sweep: somebody else does it now. */
  readonly goOn: () => Promise<boolean>;
}

/** Deletes what nobody wants: first from the record, then from the store. What it leaves, the next one finds again. */
export async function sweep({ store, objects, at, goOn }: Sweeping): Promise<SweepReport> {
  const before = at - UNWANTED_MS;
  const adopted = await adopt(store, objects, at);
  const checkpoints = await store.forgetCheckpoints(false);
  const gone = { objects: 0, bytes: 0 };
  const remove = (batch: readonly ObjectRef[]): Promise<void> => deleteAll(objects, batch);
  while (await goOn()) {
    const swept = await store.sweepObjects({ before, limit: BATCH }, remove);
    gone.objects += swept.length;
    for (const { size } of swept) gone.bytes += size;
    if (swept.length < BATCH) break;
  }
  return { dryRun: false, ...gone, checkpoints, uploads: await objects.endUploads(before), adopted };
}

/** What a sweep would delete now. */
export async function foresee({ store, at }: Pick<Sweeping, 'store' | 'at'>): Promise<SweepReport> {
  const [unwanted, checkpoints] = [await store.unwantedObjects(at - UNWANTED_MS), await store.forgetCheckpoints(true)];
  return { dryRun: true, ...unwanted, checkpoints, uploads: 0, adopted: 0 };
}

export async function deleteAll(objects: Pick<Objects, 'delete'>, batch: readonly ObjectRef[]): Promise<void> {
  for (let n = 0; n < batch.length; n += DELETES_AT_ONCE) {
    await Promise.all(batch.slice(n, n + DELETES_AT_ONCE).map(({ sha256 }) => objects.delete(sha256)));
  }
}

/** Stored before there was a record, or their rows were lost with the database's last commits. */
async function adopt(store: Sweeping['store'], objects: Sweeping['objects'], at: number): Promise<number> {
  let adopted = 0;
  let batch: ObjectRef[] = [];
  for await (const object of objects.list()) {
    if (batch.push(object) < ADOPTED_AT_ONCE) continue;
    adopted += await store.adoptObjects(batch, at);
    batch = [];
  }
  return adopted + (await store.adoptObjects(batch, at));
}
