import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { ModelRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { ModelPoolProtocol, type Acquirer, type ModelPoolRef, type PoolReport } from './model-pool.protocol.ts';
import { acquireAny, mergedReport, mostAble } from './pool-choice.ts';

export interface PoolRouterArgs {
  readonly model: ModelRow;
  /** The model's pools on all coordinators that answer, this one's first. */
  readonly pools: () => Promise<readonly ModelPoolRef[]>;
}

const ASK = { timeoutMs: 3_000 };
/** So long an answer of the others is believed: a request costs no round of questions of its own. */
const FRESH_MS = 250;

/**
 * One model on all coordinators. An acquirer goes to the pool that can serve it soonest, with the others as its way on: a pool that has
 * no replica for it hands it to the next one, so only the last says no. What then happens is between that pool and the generation.
 */
export const poolRouterActor = defineActor({
  protocol: ModelPoolProtocol,
  mailbox: { capacity: 16_384 },
  start(context, { model, pools }: PoolRouterArgs) {
    /** Their pools are not known yet. */
    const asking = new Map<GenerationRef, Acquirer>();
    let known: { readonly at: number; readonly order: readonly ModelPoolRef[] } | undefined;
    let looking = false;

    async function look(): Promise<ModelPoolRef[]> {
      const found = await pools();
      if (found.length < 2) return [...found];
      const reports = await Promise.all(found.map((pool) => pool.report(undefined, ASK).catch(() => null)));
      return mostAble(found.flatMap((pool, i) => (reports[i] ? [{ pool, report: reports[i] }] : []))).map(({ pool }) => pool);
    }

    function forward(acquirer: Acquirer, order: readonly ModelPoolRef[]): void {
      if (acquireAny(acquirer, order)) return;
      acquirer.owner.noReplica(new GridError('MODEL_FAILED', `no coordinator answers for model ${model.name}`, { fix: 'try again' }));
    }

    function acquire(acquirer: Acquirer): void {
      if (known !== undefined && context.clock.now() - known.at < FRESH_MS) return forward(acquirer, known.order);
      asking.set(acquirer.owner, acquirer);
      if (looking) return;
      looking = true;
      context.pipe(look(), (result) => {
        looking = false;
        const order = result.ok ? result.value : [];
        known = { at: context.clock.now(), order };
        const waiting = [...asking.values()];
        asking.clear();
        for (const one of waiting) forward(one, order);
      });
    }

    async function all(): Promise<readonly ModelPoolRef[]> {
      const found = await pools();
      if (found.length === 0) throw new GridError('MODEL_FAILED', `no coordinator answers for model ${model.name}`, { fix: 'try again' });
      return found;
    }

    return {
      acquire,
      abandon(owner) {
        if (asking.delete(owner)) return;
        for (const pool of known?.order ?? []) pool.abandon(owner);
      },
      async load({ device }) {
        let refused: unknown;
        for (const pool of await all()) {
          try {
            return await pool.load({ device }, ASK);
          } catch (error) {
            refused ??= error;
          }
        }
        throw refused;
      },
      async unload({ device }) {
        await Promise.all((await all()).map((pool) => pool.unload({ device }, ASK)));
      },
      async report(): Promise<PoolReport> {
        const [first, ...rest] = await all();
        if (first === undefined) throw new GridError('MODEL_FAILED', `no coordinator answers for model ${model.name}`);
        const here = await first.report(undefined, ASK);
        const there = await Promise.all(rest.map((pool) => pool.report(undefined, ASK).catch(() => null)));
        return mergedReport([here, ...there.filter((report) => report !== null)]) ?? here;
      },
      judged() {
        for (const pool of known?.order ?? []) pool.judged();
      },
      // Devices talk to the pool of their own coordinator, generations to the one that gave them a replica.
      offered: unasked,
      draining: unasked,
      avoid: unasked,
      makeRoom: unasked,
      state: unasked,
      release: unasked,
      adopt: unasked,
      gone: unasked,
      stored: unasked,
    };
  },
});

function unasked(): never {
  throw new GridError('INTERNAL', 'each coordinator’s pool is told by its own devices, and by the generations that it served');
}
