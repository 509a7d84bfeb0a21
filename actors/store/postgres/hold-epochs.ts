import { sql } from 'kysely';

import { StaleEpoch } from '../store.ts';
import type { Tx } from './transaction.ts';

/**
 * Makes sure that these partitions still have these epochs, and that they keep them until the transaction has ended:
 * a coordinator that takes them waits for it, and a transaction that begins later sees the new epoch.
 *
 * @throws StaleEpoch when any of them was taken; the whole transaction writes nothing then
 */
export async function holdEpochs(tx: Tx, epochs: Iterable<readonly [partition: number, epoch: number]>): Promise<void> {
  const expected = [...epochs];
  const ids = [...new Set(expected.map(([partition]) => partition))];
  const { rows } = await sql<{ id: number; epoch: number }>`
    select id, epoch from partitions where id = any(${ids}::int[]) order by id for share
  `.execute(tx);
  const held = new Map(rows.map((row) => [row.id, row.epoch]));
  for (const [partition, epoch] of expected) {
    if (held.get(partition) !== epoch) throw staleEpoch(partition, epoch, held.get(partition));
  }
}

/** Says who is stale, for the log of whoever must stop now. */
export function staleEpoch(partition: number, epoch: number | undefined, current: number | undefined): StaleEpoch {
  return new StaleEpoch(`Partition ${partition} is at epoch ${current ?? 'none'}; this write came with ${epoch ?? 'none'}.`);
}
