import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { ModelsProtocol, type FoundModel, type ModelPoolRef, type ModelsRef } from './model-pool.protocol.ts';
import { mergedReport } from './pool-choice.ts';
import { poolRouterActor } from './pool-router.actor.ts';

export interface ModelsRouterArgs {
  readonly cluster: GridCluster;
  /** Those on devices that are connected to this coordinator. */
  readonly local: ModelsRef;
}

const ASK = { timeoutMs: 3_000 };

/**
 * The models of all coordinators. Each coordinator has a pool for each model over the devices that are connected to it; who asks for
 * a model here gets one address for all of its pools.
 */
export const modelsRouterActor = defineActor({
  protocol: ModelsProtocol,
  mailbox: { capacity: 65_536 },
  start(context, { cluster, local }: ModelsRouterArgs) {
    const routers = new Map<string, ModelPoolRef>();

    const all = (): ModelsRef[] => [local, ...cluster.others('models', ModelsProtocol).values()];

    /** Of all coordinators that answer, this one first. One that does not is about to be declared dead, and its devices with it. */
    async function gathered<T>(ask: (models: ModelsRef) => Promise<T>): Promise<T[]> {
      const [here, ...others] = all();
      if (here === undefined) return [];
      const elsewhere = Promise.all(others.map((models) => ask(models).catch(() => null)));
      return [await ask(here), ...(await elsewhere).filter((answer) => answer !== null)];
    }

    async function poolsOf(name: string, sha256: string): Promise<ModelPoolRef[]> {
      const found = await gathered((models) => models.find(name, ASK));
      return found.flatMap((one) => (one?.model.sha256 === sha256 ? [one.pool] : []));
    }

    /** One file under one name: what others know under the same name with another file is theirs alone. */
    function joined(found: readonly FoundModel[]): FoundModel | null {
      const [first] = found;
      if (first === undefined) return null;
      const { name, sha256 } = first.model;
      const same = found.filter((one) => one.model.sha256 === sha256);
      let router = routers.get(`${name} ${sha256}`);
      if (router === undefined) {
        const args = { model: first.model, pools: () => poolsOf(name, sha256) };
        router = context.spawn({ id: `${name}-${sha256.slice(0, 8)}`, actor: poolRouterActor, restart: 'permanent', args });
        routers.set(`${name} ${sha256}`, router);
      }
      return { pool: router, model: first.model, createdAt: Math.min(...same.map((one) => one.createdAt)) };
    }

    return {
      offered: (offer) => void local.offered(offer),
      serving: (device) => void local.serving(device),
      stored(row) {
        for (const models of all()) models.stored(row);
      },
      removed(name) {
        for (const models of all()) models.removed(name);
      },
      async find(name) {
        const found = await gathered((models) => models.find(name, ASK));
        return joined(found.filter((one) => one !== null));
      },
      async names() {
        const byName = Map.groupBy((await gathered((models) => models.names(undefined, ASK))).flat(), ({ model }) => model.name);
        return [...byName.values()].flatMap((found) => joined(found) ?? []);
      },
      async list() {
        const reports = (await gathered((models) => models.list(undefined, ASK))).flat();
        const byFile = Map.groupBy(reports, ({ model }) => `${model.name} ${model.sha256}`);
        return [...byFile.values()].flatMap((same) => mergedReport(same) ?? []);
      },
    };
  },
});
