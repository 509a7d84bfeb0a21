import type { CheckpointEvent } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { JobRow } from '#actors/store/store.ts';
import { wantObject } from '#actors/want-object.ts';
import { MIB } from '#actors/contract/primitives.ts';

/** Addresses for checkpoints live as long as their attempts usefully wait for them. */
const UPLOAD_TTL_SECONDS = 900;
/** What a checkpoint holds beside memory and output, with room to spare. */
const OVERHEAD_BYTES = MIB;

interface Keeping {
  readonly services: Services;
  readonly job: JobRow;
  readonly epoch: number;
  readonly at: number;
}

/** Answers an offer with leave to store it, keeps what is stored as the newest of its device, forgets what was no good. */
export async function keepCheckpoint(
  { services, job, epoch, at }: Keeping,
  { index, device, from, message }: CheckpointEvent,
): Promise<void> {
  const { store, objects, log } = services;
  const { fence, checkpoint, steps, event, reason } = message;
  const { limits, checkpoint: rule } = job.spec;
  if (event === 'refused') {
    log.warn({ job: job.id, shard: index, device, sha256: checkpoint.sha256, reason }, 'a checkpoint was refused: the shard begins anew');
    await store.dropCheckpoint(job.id, epoch, index, checkpoint.sha256);
    return;
  }
  const most = 2 * limits.memoryMiB * MIB + limits.outputMiB * MIB + OVERHEAD_BYTES;
  if (rule === undefined || checkpoint.size > most) return;
  const stored = await wantObject(services, checkpoint, at);
  if (event === 'offered') {
    const put = stored === null ? { put: await objects.presignPut(checkpoint, UPLOAD_TTL_SECONDS) } : {};
    from.uploadCheckpoint({ fence, sha256: checkpoint.sha256, ...put });
  } else if (stored?.size === checkpoint.size) {
    if (await store.saveCheckpoint({ job: job.id, index, device, fence, object: checkpoint, steps, at }, epoch))
      log.info({ job: job.id, shard: index, device, steps }, 'checkpoint kept');
  }
}
