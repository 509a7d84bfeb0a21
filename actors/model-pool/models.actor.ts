import type { Services } from '#actors/services.ts';
import type { ModelRow, StoredModelRow } from '#actors/store/store.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

import type { ModelPoolArgs } from './model-pool.actor.ts';
import { ModelsProtocol, type ModelPoolProtocol, type ModelPoolRef, type ServingDevice } from './model-pool.protocol.ts';

const ASK = { timeoutMs: 5_000 };
/** Tokens of context when nobody says otherwise; a model that was trained on fewer gets fewer. */
const USUAL_CONTEXT = 4_096;

export interface ModelsArgs {
  readonly services: Services;
  readonly pool: ActorDefinition<typeof ModelPoolProtocol, ModelPoolArgs>;
}

/** A name stands for one file: a second file offered under the same name gets the start of its hash appended. */
export const modelsActor = defineActor({
  protocol: ModelsProtocol,
  async start(context, { services, pool }: ModelsArgs) {
    const pools = new Map<string, { model: ModelRow; ref: ModelPoolRef; createdAt: number }>();

    const serving = new Map<string, ServingDevice>();

    function poolOf(offered: ModelRow, stored: StoredModelRow | null = null): ModelPoolRef {
      const taken = pools.get(offered.name);
      if (taken !== undefined && taken.model.sha256 === offered.sha256) return taken.ref;
      const name = taken === undefined ? offered.name : secondName(offered.name, offered.sha256);
      const known = pools.get(name);
      if (known !== undefined) return known.ref;
      const model = { ...offered, name };
      const ref = context.spawn({ id: name, actor: pool, restart: 'permanent', args: { services, model, stored, serving } });
      pools.set(name, { model, ref, createdAt: context.clock.wall() });
      return ref;
    }

    function stored(row: StoredModelRow): void {
      const { name, sha256, size, header, createdAt } = row;
      poolOf({ name, sha256, size, contextSize: Math.min(USUAL_CONTEXT, header.contextLength ?? USUAL_CONTEXT) }, row).stored(row);
      const entry = pools.get(name);
      if (entry?.model.sha256 === sha256) entry.createdAt = createdAt;
    }

    for (const row of await services.patiently(() => services.store.listStoredModels())) stored(row);

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
      serving(device) {
        serving.set(device.device, device);
        context.watch(device.ref, () => {
          // A newer session of the device may have replaced it already.
          if (serving.get(device.device)?.ref === device.ref) serving.delete(device.device);
        });
      },
      stored,
      removed(name) {
        // Replicas that are loaded serve on; nothing brings the file to another device any more.
        pools.get(name)?.ref.stored(null);
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
