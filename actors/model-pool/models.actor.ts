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
    const pools = new Map<string, { model: ModelRow; ref: ModelPoolRef; createdAt: number }>();

    function poolOf(offered: ModelRow): ModelPoolRef {
      const taken = pools.get(offered.name);
      if (taken !== undefined && taken.model.sha256 === offered.sha256) return taken.ref;
      const name = taken === undefined ? offered.name : secondName(offered.name, offered.sha256);
      const known = pools.get(name);
      if (known !== undefined) return known.ref;
      const model = { ...offered, name };
      const ref = context.spawn({ id: name, actor: pool, restart: 'permanent', args: { services, model } });
      pools.set(name, { model, ref, createdAt: context.clock.wall() });
      return ref;
    }

    async function firstSeen(models: readonly ModelRow[]): Promise<readonly number[]> {
      await services.store.recordModels(models, context.clock.wall());
      return services.store.modelsFirstSeen(models);
    }

    return {
      offered({ device, ref, models }) {
        for (const { sequences: capacity = Number.POSITIVE_INFINITY, ...model } of models) poolOf(model).offered({ device, ref, capacity });
        context.pipe(firstSeen(models), (result) => {
          if (!result.ok) return services.log.warn({ error: result.error }, 'models not recorded');
          for (const [at, { name, sha256 }] of models.map((model, index) => [result.value[index] ?? 0, model] as const)) {
            for (const entry of pools.values())
              if (entry.model.sha256 === sha256 && [name, secondName(name, sha256)].includes(entry.model.name)) entry.createdAt = at;
          }
        });
      },
      find(name) {
        const found = pools.get(name);
        return found === undefined ? null : { pool: found.ref, model: found.model, createdAt: found.createdAt };
      },
      names() {
        return Array.from(pools.values(), ({ ref, model, createdAt }) => ({ pool: ref, model, createdAt }));
      },
      list() {
        return Promise.all([...pools.values()].map((p) => p.ref.report(undefined, ASK)));
      },
    };
  },
});

/** What a file is called when its name stands for another one already. */
function secondName(name: string, sha256: string): string {
  return `${name}@${sha256.slice(0, 8)}`;
}
