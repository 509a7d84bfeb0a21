import type { RunCommand } from '#actors/contract/agent-link.ts';
import { maxErrorOf, quorumOf } from '#actors/contract/job-spec.ts';
import type { CheckpointRow } from '#actors/store/keeping.ts';
import type { JobRow, Lease, Store } from '#actors/store/store.ts';
import type { Objects } from '#runtime/objects/objects.ts';
import type { Log } from '#runtime/observe/log.ts';

const URL_TTL_SECONDS = 3_600;

export interface CheckpointSource {
  readonly store: Pick<Store, 'checkpointsOf'>;
  readonly objects: Objects;
  readonly log: Log;
  readonly job: JobRow;
  readonly trusted: (device: string) => boolean;
}

/**
 * A vote must say what its device computed, or quorum and belief count one word twice. So a device goes on from its own checkpoint,
 * and from another device's only where that one's word would be enough by itself: one vote decides the job, or the job goes by belief
 * and the other device is trusted.
 */
function mayContinue(checkpoint: CheckpointRow, device: string, { job, trusted }: CheckpointSource): boolean {
  if (checkpoint.device === device) return true;
  return maxErrorOf(job.spec) === null ? quorumOf(job.spec) === 1 : trusted(checkpoint.device);
}

/** The command with the order to make checkpoints, and with the furthest one that its device may go on from. */
export async function withCheckpoint(source: CheckpointSource, lease: Lease, command: RunCommand): Promise<RunCommand> {
  const { store, objects, job, log } = source;
  const rule = job.spec.checkpoint;
  if (rule === undefined) return command;
  const rows = (await store.checkpointsOf(job.id, lease.index)).filter((row) => mayContinue(row, lease.device, source));
  for (const { object, steps, device } of rows.toSorted((a, b) => b.steps - a.steps)) {
    if ((await objects.head(object.sha256)) === null) continue;
    log.info({ job: job.id, shard: lease.index, device: lease.device, of: device, steps }, 'a shard goes on from a checkpoint');
    return { ...command, checkpoint: { ...rule, from: { ...object, get: await objects.presignGet(object, URL_TTL_SECONDS) } } };
  }
  return { ...command, checkpoint: rule };
}
