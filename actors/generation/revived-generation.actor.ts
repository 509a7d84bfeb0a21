import type { ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { generationActor, type GenerationArgs } from './generation.actor.ts';

export interface RevivedArgs extends Omit<GenerationArgs, 'pool' | 'modelFile' | 'revived'> {
  readonly revived: Omit<NonNullable<GenerationArgs['revived']>, 'pool'>;
  /** Those of all coordinators, and those of the one that the device is connected to: this one. */
  readonly models: ModelsRef;
  readonly localModels: ModelsRef;
}

const ASK = { timeoutMs: 5_000 };

/** A generation of an earlier coordinator. What the device repeats waits in its mailbox until the model's pool is found. */
export const revivedGenerationActor = defineActor({
  protocol: generationActor.protocol,
  mailbox: { capacity: 65_536 },
  async start(context, args: RevivedArgs) {
    const { models, localModels, model, revived, sink } = args;
    const [found, local] = await Promise.all([models.find(model, ASK), localModels.find(model, ASK)]);
    if (found !== null && local !== null)
      return generationActor.start(context, {
        ...args,
        pool: found.pool,
        modelFile: found.model.sha256,
        revived: { ...revived, pool: local.pool },
      });
    revived.ref.cancelGeneration(revived.note.attempt);
    const gone = new GridError('NOT_FOUND', `there is no model ${model} any more`);
    sink.failed(gone);
    throw gone;
  },
});
