import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { generationActor, type GenerationArgs } from './generation.actor.ts';

export interface RevivedArgs extends Omit<GenerationArgs, 'pool'> {
  readonly revived: NonNullable<GenerationArgs['revived']>;
  readonly findPool: () => Promise<ModelPoolRef | null>;
}

/** A generation of an earlier coordinator. What the device repeats waits in its mailbox until the model's pool is found. */
export const revivedGenerationActor = defineActor({
  protocol: generationActor.protocol,
  mailbox: { capacity: 65_536 },
  async start(context, args: RevivedArgs) {
    const pool = await args.findPool();
    if (pool !== null) return generationActor.start(context, { ...args, pool });
    const { attempt } = args.revived.note;
    args.revived.ref.cancelGeneration(attempt);
    args.sink.failed(new GridError('NOT_FOUND', `there is no model ${args.model} any more`));
    throw new GridError('NOT_FOUND', `there is no model ${args.model} any more`);
  },
});
