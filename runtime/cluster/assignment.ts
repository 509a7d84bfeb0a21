import { sha256 } from '#runtime/identity/digest.ts';

import type { NodeRow, PartitionRow } from './cluster-store.ts';

/** The partition of an entity, for ever: the first byte of the SHA-256 of its id. At most 256 partitions. */
export function partitionOfEntity(id: string, partitions: number): number {
  return (sha256(new TextEncoder().encode(id))[0] ?? 0) % partitions;
}

const scores = new Map<string, number>();
const KEPT_SCORES = 65_536;

/** Uniform in (0, 1), a function of both. */
function draw(node: string, partition: number): number {
  const key = `${partition} ${node}`;
  let score = scores.get(key);
  if (score === undefined) {
    const hash = sha256(new TextEncoder().encode(key));
    score = (new DataView(hash.buffer, hash.byteOffset).getUint32(0) + 1) / (2 ** 32 + 1);
    if (scores.size >= KEPT_SCORES) scores.clear();
    scores.set(key, score);
  }
  return score;
}

/**
 * Which node shall own a partition: weighted rendezvous hashing (Thaler and Ravishankar 1998; weights by -w / ln u). All nodes
 * come to the same answer without asking each other, and a node that comes or goes moves only the partitions it wins or had.
 * Undefined when nobody is up.
 */
export function targetOf(partition: number, nodes: readonly Pick<NodeRow, 'id' | 'weight' | 'status'>[]): string | undefined {
  let best: string | undefined;
  let most = 0;
  for (const { id, weight, status } of nodes) {
    if (status !== 'up') continue;
    const score = -weight / Math.log(draw(id, partition));
    if (score > most) [best, most] = [id, score];
  }
  return best;
}

export interface Moves {
  /** Mine by the hash, and free or left by the dead. */
  readonly take: readonly number[];
  /** Mine by the row, somebody else's by the hash. */
  readonly give: readonly number[];
}

/** What this node has to do so that everybody owns what the hash says. Rows whose owner is alive are the owner's to give. */
export function movesOf(me: string, nodes: readonly NodeRow[], partitions: readonly PartitionRow[]): Moves {
  const alive = new Map(nodes.map((node) => [node.id, node.incarnation]));
  const take: number[] = [];
  const give: number[] = [];
  for (const { id, owner } of partitions) {
    const target = targetOf(id, nodes);
    const owned = owner !== null && alive.get(owner.id) === owner.incarnation;
    if (target === me && !owned) take.push(id);
    if (owned && owner.id === me && target !== me && target !== undefined) give.push(id);
  }
  return { take, give };
}
