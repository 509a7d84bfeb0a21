import type { Services } from '#actors/services.ts';
import type { ModelRow } from '#actors/store/store.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

import type { ModelPoolArgs } from './model-pool.actor.ts';
import { ModelsProtocol, type ModelPoolProtocol, type ModelPoolRef } from './model-pool.protocol.ts';

const ASK = { timeoutMs: 5_000 };

export interface ModelsArgs {
  readonly services: Services;
  readonly pool: ActorDefinition<typeof ModelPoolProtocol, ModelPoolArgs>;
}

/** A name stands for one file: a second file offered under the same name gets the start of its hash appended. */
export const modelsActor = defineActor({
  protocol: ModelsProtocol,
  start(context, { services, pool }: ModelsArgs) {
    const pools = new Map<string, { model: ModelRow; ref: ModelPoolRef }>();

    function poolOf(offered: ModelRow): ModelPoolRef {
      const taken = pools.get(offered.name);
      if (taken !== undefined && taken.model.sha256 === offered.sha256) return taken.ref;
      const name = taken === undefined ? offered.name : `${offered.name}@${offered.sha256.slice(0, 8)}`;
      const known = pools.get(name);
      if (known !== undefined) return known.ref;
      const model = { ...offered, name };
      const ref = context.spawn({ id: name, actor: pool, restart: 'permanent', args: { services, model } });
      pools.set(name, { model, ref });
      return ref;
    }

    return {
      offered({ device, ref, models }) {
        for (const model of models) poolOf(model).offered({ device, ref });
        context.pipe(services.store.recordModels(models), (result) => {
          if (!result.ok) services.log.warn({ error: result.error }, 'models not recorded');
        });
      },
      find(name) {
        return pools.get(name)?.ref ?? null;
      },
      list() {
        return Promise.all([...pools.values()].map((p) => p.ref.report(undefined, ASK)));
      },
    };
  },
});
