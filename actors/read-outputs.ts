import { COMPARABLE_BYTES, readComparable, type Comparable, type Comparator } from '#actors/contract/comparator.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { VoteRow } from '#actors/store/store.ts';
import type { Objects } from '#runtime/objects/objects.ts';

type Output = Pick<VoteRow, 'output' | 'bytes'>;

/** What votes say, by digest: from the vote itself when its output is small, else from the object store. */
export async function readOutputs(
  objects: Pick<Objects, 'open'>,
  comparator: Comparator,
  votes: readonly Output[],
): Promise<ReadonlyMap<string, Comparable | null>> {
  const values = new Map<string, Comparable | null>();
  for (const { output, bytes } of votes) {
    if (values.has(output.sha256)) continue;
    const found = bytes ?? (await readObject(objects, output));
    values.set(output.sha256, found === null ? null : readComparable(comparator, found));
  }
  return values;
}

/** Null when it is too large to be compared, or gone. */
async function readObject(objects: Pick<Objects, 'open'>, { sha256, size }: ObjectRef): Promise<Uint8Array | null> {
  if (size > COMPARABLE_BYTES) return null;
  const opened = await objects.open(sha256);
  if (opened === null) return null;
  const parts: Uint8Array[] = [];
  for await (const part of opened.stream as AsyncIterable<Uint8Array>) parts.push(part);
  return Buffer.concat(parts);
}
