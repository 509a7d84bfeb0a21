import type { RunCommand } from '#actors/contract/agent-link.ts';
import { argumentsOf, inputOf, mapShardCount, type JobSpec } from '#actors/contract/job-spec.ts';
import type { Body, ObjectRef } from '#actors/contract/primitives.ts';
import { inputDigestOf } from '#actors/contract/receipt.ts';
import type { JobRow, Lease } from '#actors/store/store.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Objects } from '#runtime/objects/objects.ts';

/** Long enough for an agent that was offline over a weekend; the object's hash is checked by the agent anyway. */
const URL_TTL_SECONDS = 72 * 3600;

/** An accepted output: where it is, and the bytes themselves when they are small. */
export interface ShardOutput {
  readonly ref: ObjectRef;
  readonly bytes: Uint8Array | null;
}

export function isMergeShard(spec: JobSpec, index: number): boolean {
  return spec.merge !== undefined && index === mapShardCount(spec);
}

export function moduleOf(spec: JobSpec, index: number): ObjectRef {
  return isMergeShard(spec, index) && spec.merge ? spec.merge.module : spec.module;
}

/** The input objects of one shard, in order. `outputs` are those of the map shards, needed for the merge shard only. */
function inputsOf(spec: JobSpec, index: number, outputs: readonly ShardOutput[]): readonly ShardOutput[] {
  if (isMergeShard(spec, index)) return outputs;
  const ref = inputOf(spec, index);
  return ref === undefined ? [] : [{ ref, bytes: null }];
}

/** What a vote on this shard signs as its input. */
export function inputDigest(spec: JobSpec, index: number, outputs: readonly ShardOutput[]): string {
  const inputs = inputsOf(spec, index, outputs).map((o) => o.ref.sha256);
  return inputDigestOf({ args: argumentsOf(spec, index), inputs, framed: isMergeShard(spec, index) }, sha256);
}

async function bodyOf(output: ShardOutput, objects: Objects): Promise<Body> {
  const { ref, bytes } = output;
  if (bytes !== null) return { ...ref, bytes };
  return { ...ref, get: await objects.presignGet(ref, URL_TTL_SECONDS) };
}

/** An address that was signed is given out again for so long; it stays good for days after. */
const SIGN_AGAIN_MS = 3_600_000;

/** Makes addresses of modules, which all shards of a job share: signing one for every shard would cost more than the shard does. */
export function moduleAddresses(objects: Objects, now: () => number): (module: ObjectRef) => Promise<Body> {
  const signed = new Map<string, { readonly at: number; readonly body: Promise<Body> }>();
  return (module) => {
    const known = signed.get(module.sha256);
    if (known !== undefined && now() - known.at < SIGN_AGAIN_MS) return known.body;
    const body = bodyOf({ ref: module, bytes: null }, objects);
    signed.set(module.sha256, { at: now(), body });
    // A store that signed nothing is asked again.
    body.catch(() => signed.delete(module.sha256));
    return body;
  };
}

export interface CommandTools {
  readonly objects: Objects;
  readonly addressOf: (module: ObjectRef) => Promise<Body>;
}

/** The command that carries out one lease. */
export async function runCommand(
  job: JobRow,
  lease: Lease,
  outputs: readonly ShardOutput[],
  { objects, addressOf }: CommandTools,
): Promise<RunCommand> {
  const { spec } = job;
  return {
    type: 'run',
    partition: job.partition,
    fence: lease.fence,
    job: job.id,
    shard: lease.index,
    kind: spec.kind,
    module: await addressOf(moduleOf(spec, lease.index)),
    args: argumentsOf(spec, lease.index),
    input: await Promise.all(inputsOf(spec, lease.index, outputs).map((o) => bodyOf(o, objects))),
    framed: isMergeShard(spec, lease.index),
    inputDigest: inputDigest(spec, lease.index, outputs),
    limits: spec.limits,
  };
}
