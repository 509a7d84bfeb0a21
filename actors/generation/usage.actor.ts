import type { Services } from '#actors/services.ts';
import type { UsageRow } from '#actors/store/store.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { UsageProtocol } from './usage.protocol.ts';

/** Rows wait at most this long. A statement for each answer would cost more than small answers do. */
const FLUSH_MS = 200;
const MOST_ROWS = 1_000;

/** Writes usage behind the answers, many rows to a statement. Rows have ids and are written once, however often they are tried. */
export const usageActor = defineActor({
  protocol: UsageProtocol,
  mailbox: { capacity: 65_536 },
  start(context, { services }: { readonly services: Services }) {
    let rows: UsageRow[] = [];

    async function write(): Promise<void> {
      while (rows.length > 0) {
        const batch = rows.slice(0, MOST_ROWS);
        await services.store.recordUsage(batch);
        rows = rows.slice(batch.length);
      }
    }

    async function writeSoon(): Promise<void> {
      try {
        await write();
      } catch (error) {
        // They stay and are tried again with the next ones.
        services.log.warn({ error, waiting: rows.length }, 'usage not written yet');
      }
    }

    context.every(FLUSH_MS, writeSoon);
    context.onStop(writeSoon);

    return {
      record(row) {
        rows.push(row);
      },
      flush: write,
    };
  },
});
