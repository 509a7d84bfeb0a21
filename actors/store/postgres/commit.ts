import { applyChange } from '../shard-rules.ts';
import type { Change, Outcome } from '../store.ts';
import { holdEpochs } from './hold-epochs.ts';
import { readScene } from './read-scene.ts';
import { type Database, inTransaction } from './transaction.ts';
import { writeScene } from './write-scene.ts';

/**
 * Applies a batch of changes in one transaction.
 *
 * Partitions are held and shards are locked first, each in its own statement. Then nobody else writes these shards,
 * their attempts or their votes, so the rules (`shard-rules.ts`) may run here, in memory, change by change, and the
 * result is written by three statements however long the batch is.
 *
 * A commit whose outcome is unknown is repeated as it is: what was applied is known by its fence and changes nothing.
 *
 * @throws StaleEpoch when any partition of the batch was taken; nothing of the batch is written then
 */
export async function commit(db: Database, changes: readonly Change[]): Promise<readonly Outcome[]> {
  if (changes.length === 0) return [];
  return inTransaction(db, async (tx) => {
    await holdEpochs(
      tx,
      changes.map(({ partition, epoch }) => [partition, epoch] as const),
    );
    const scene = await readScene(tx, changes);
    const outcomes = changes.map((change) => applyChange(scene, change));
    await writeScene(tx, scene);
    return outcomes;
  });
}
