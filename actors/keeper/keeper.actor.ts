import type { SweepReport } from '#actors/contract/sweep-report.ts';
import type { Services } from '#actors/services.ts';
import { GridError } from '#runtime/errors.ts';
import type { Log } from '#runtime/observe/log.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { KeeperProtocol } from './keeper.protocol.ts';
import { foresee, sweep } from './sweep.ts';

export interface KeeperArgs {
  readonly services: Pick<Services, 'store' | 'objects'> & { readonly log: Pick<Log, 'info' | 'warn'> };
  /** Of this coordinator, for the one row that says who sweeps. */
  readonly holder: string;
}

/** How often it looks whether a sweep is due; the row in the database says when. */
export const LOOK_MS = 60_000;
export const EVERY_MS = 6 * 3_600_000;
/** After a sweep that failed. */
const AGAIN_MS = 600_000;
/** Whoever sweeps says so again before every batch; one that is silent for so long has died. */
const HOLD_MS = 600_000;

/**
 * A sweep is due → held by one coordinator → due again later. The row outlives every process, so sweeps are neither forgotten when
 * coordinators come and go nor done by all of them at once; it is a courtesy, and what keeps two sweeps from harm is the lock on each object.
 */
export const keeperActor = defineActor({
  protocol: KeeperProtocol,
  start(context, { services, holder }: KeeperArgs) {
    const { store, objects, log } = services;
    let busy = false;

    async function run(early: boolean): Promise<SweepReport | null> {
      if (busy) return null;
      busy = true;
      try {
        const hold = (): Promise<boolean> => {
          const at = context.clock.wall();
          return store.takeSweep(holder, { at, until: at + HOLD_MS, early });
        };
        return (await hold()) ? await held(hold) : null;
      } finally {
        busy = false;
      }
    }

    async function held(goOn: () => Promise<boolean>): Promise<SweepReport> {
      let next = AGAIN_MS;
      try {
        const report = await sweep({ store, objects, at: context.clock.wall(), goOn });
        next = EVERY_MS;
        log.info({ ...report }, 'what nobody wants was swept');
        return report;
      } finally {
        await store.endSweep(holder, context.clock.wall() + next);
      }
    }

    context.every(LOOK_MS, () => {
      context.pipe(run(false), (result) => {
        // The database or the object store is away: it stays due.
        if (!result.ok) log.warn({ error: result.error }, 'a sweep was not finished');
      });
    });

    return {
      sweep({ dryRun }) {
        return context.answerLater<SweepReport>((reply) => {
          const work = dryRun ? foresee({ store, at: context.clock.wall() }) : run(true);
          context.pipe<SweepReport | null>(work, (result) => {
            if (!result.ok) reply.reject(result.error);
            else if (result.value !== null) reply.resolve(result.value);
            else reply.reject(new GridError('CONFLICT', 'a sweep is under way', { fix: 'try again when it has ended' }));
          });
        });
      },
    };
  },
});
