import type { BatchItem, CustomBatchingPrioritizationStrategy } from 'node-llama-cpp';

/**
 * Decides what goes into the next batch: every generation's next token first, so that a long prompt never holds up the
 * streams, then as much of the prompts as fits. Rows stand in the order of their sequences: llama.cpp computes rows together
 * only when their sequence ids follow one another, which was measured as 1.2 to 1.4 times the tokens with 8 streams.
 *
 * Whoever wants to see more than one place's result, as an audit does, gets every other batch for itself. llama.cpp puts results of rows that it
 * computed in another order back into theirs when the first of them is read (`llama_context::output_reorder`), and the library reads those of
 * different sequences in several threads at once, without a lock: they came to see each other's results. Rows that are alone, and rows of
 * which each sequence has only one that is read, are computed in the order in which they stand, so that nothing is left to put back.
 *
 * @param sequenceIds the sequence of each item, or undefined when the engine does not let us know; then their order stays
 * @param onBatch called as each batch begins
 */
export function createBatchOrder(
  sequenceIds: (count: number) => readonly number[] | undefined,
  onBatch: () => void,
): CustomBatchingPrioritizationStrategy {
  let wasAlone = false;
  return ({ items, size }) => {
    onBatch();
    const ids = sequenceIds(items.length);
    const alone = items.find(isReadInside);
    const rest = items.map((item, index) => ({ item, id: ids?.[index] ?? index })).filter(({ item }) => !isReadInside(item));
    wasAlone = alone !== undefined && (rest.length === 0 || !wasAlone);
    if (alone !== undefined && wasAlone) return [{ item: alone, processAmount: Math.min(size, alone.tokens.length) }];
    const ordered = rest.sort((a, b) => a.id - b.id);
    const single = ordered.filter(({ item }) => item.tokens.length === 1).length;
    let forPrompts = Math.max(0, size - single);
    let left = size;
    return ordered.flatMap(({ item }) => {
      const wanted = item.tokens.length === 1 ? 1 : Math.min(item.tokens.length, forPrompts);
      const processAmount = Math.min(wanted, left);
      if (item.tokens.length > 1) forPrompts -= processAmount;
      left -= processAmount;
      return processAmount > 0 ? [{ item, processAmount }] : [];
    });
  };
}

/** Whether the result of another row than its first is wanted. */
function isReadInside({ logits }: BatchItem): boolean {
  return logits.lastIndexOf(true) > 0;
}

/**
 * The sequence ids out of a field of the engine's context that is not part of its API, and undefined when that field is not
 * what it was in the version this was written for.
 */
export function queuedSequenceIds(context: unknown, count: number): readonly number[] | undefined {
  const queued: unknown = (context as { _queuedDecodes?: unknown } | undefined)?._queuedDecodes;
  if (!Array.isArray(queued) || queued.length !== count) return undefined;
  const ids = queued.map((decode: unknown) => (decode as { sequenceId?: unknown } | null)?.sequenceId);
  return ids.every((id) => typeof id === 'number') ? ids : undefined;
}
