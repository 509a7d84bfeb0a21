import { mapShardCount, needsOf, type JobSpec } from '#actors/contract/job-spec.ts';
import { INLINE_LIMIT, type ObjectRef } from '#actors/contract/primitives.ts';
import type { JobRow, Store } from '#actors/store/store.ts';
import type { Objects } from '#runtime/objects/objects.ts';

/**
 * What a job waits for before it begins: every job that it needs is done. One that failed, was cancelled or is gone can never be
 * done, so the job that needs it fails too, and says why.
 */
export type Needs = { readonly type: 'met' } | { readonly type: 'waiting' | 'broken'; readonly reason: string };

export async function lookAtNeeds(store: Store, { spec, tenant }: Pick<JobRow, 'spec' | 'tenant'>): Promise<Needs> {
  const waiting: JobRow[] = [];
  for (const id of needsOf(spec)) {
    const job = await store.findJob(id);
    if (job === null || job.tenant !== tenant) return { type: 'broken', reason: `it needs job ${id}, which is gone` };
    if (job.state === 'failed' || job.state === 'cancelled') {
      const why = job.reason === null ? '' : `: ${job.reason}`;
      return { type: 'broken', reason: `it needs job ${nameOf(job)}, which is ${job.state}${why}` };
    }
    if (job.state !== 'done') waiting.push(job);
  }
  if (waiting.length === 0) return { type: 'met' };
  return { type: 'waiting', reason: `waits for ${waiting.map((job) => `${nameOf(job)}, which is ${job.state}`).join('; ')}` };
}

function nameOf({ id, spec }: JobRow): string {
  return `${spec.name} (${id})`;
}

/** Outputs that a job hands to those that need it: its merged result when it has one, else one for each shard. */
export function outputCount(spec: JobSpec): number {
  return spec.merge ? 1 : mapShardCount(spec);
}

/** The spec with the outputs of the job that it works on as its inputs; as it is when it works on none. */
export async function withInputs(places: { store: Store; objects: Objects }, spec: JobSpec, at: number): Promise<JobSpec> {
  const { store } = places;
  if (!('outputsOf' in spec.shards)) return spec;
  const { outputsOf } = spec.shards;
  const source = await store.findJob(outputsOf);
  if (source === null) throw new Error(`job ${outputsOf} is gone`);
  const from = source.spec.merge ? mapShardCount(source.spec) : 0;
  const inputs: ObjectRef[] = [];
  for (let index = from; index < from + outputCount(source.spec); index += WINDOW) {
    const range = { from: index, to: index + WINDOW };
    const [shards, votes] = await Promise.all([store.shardsOf(outputsOf, range), store.votesOf(outputsOf, range)]);
    const inline = new Map(
      votes.flatMap(({ bytes, refusal, output }) => (bytes === null || refusal !== null ? [] : [[output.sha256, bytes]])),
    );
    for (const { output, index: shard } of shards) {
      if (output === null) throw new Error(`shard ${shard} of job ${outputsOf} has no output`);
      inputs.push(output);
    }
    const outputs = shards.flatMap(({ output }) => output ?? []);
    await store.recordObjects(outputs, at);
    await keep(places.objects, outputs, inline);
  }
  return { ...spec, needs: needsOf(spec), shards: { inputs } };
}

/** Small outputs live in their votes only; as inputs of others they are objects like all inputs. */
async function keep(objects: Objects, outputs: readonly ObjectRef[], inline: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const small = outputs.filter(({ sha256, size }) => size <= INLINE_LIMIT && inline.has(sha256));
  for (let n = 0; n < small.length; n += PUTS_AT_ONCE) {
    await Promise.all(
      small.slice(n, n + PUTS_AT_ONCE).map(async (output) => {
        const bytes = inline.get(output.sha256);
        if (bytes !== undefined && (await objects.head(output.sha256)) === null) await objects.put(bytes, output);
      }),
    );
  }
}

const WINDOW = 2_000;
const PUTS_AT_ONCE = 16;
