import type { Mutation } from './mutation.ts';

/** A defect, the world that has to notice it, and a seed by which it was noticed. */
export interface KnownMutation extends Mutation {
  readonly world: string;
  /** Tried first; when the world has changed since, others are. */
  readonly seed: number;
}

/** What the promises rest on. Each is taken away once, and some seed must see that it is gone. */
export const MUTATIONS: readonly KnownMutation[] = [
  {
    name: 'the database takes writes of any epoch',
    world: 'grid',
    seed: 28,
    file: 'actors/store/memory/tables.ts',
    find: '  if (current !== epoch)\n',
    replace: '  if (current === undefined)\n',
  },
  {
    name: 'a partition is taken with an epoch that was given before',
    world: 'grid',
    seed: 19,
    file: 'actors/store/memory/cluster.ts',
    find: 'const epoch = Math.max(before + 1, clock.wall());',
    replace: 'const epoch = before + 1;',
  },
  {
    name: 'shards are leased without their locks',
    world: 'grid',
    seed: 5,
    file: 'actors/store/memory/claim.ts',
    find: "if (tx.tryLock('shard', shard.id, 'no key update')) locked.push(shard);",
    replace: 'locked.push(shard);',
  },
  {
    name: 'votes are acknowledged before they are durable',
    world: 'grid',
    seed: 2,
    file: 'actors/quorum/quorum.actor.ts',
    find: '      waiting.set(index, waiting.get(index) ?? []);\n\n',
    replace:
      "      waiting.set(index, waiting.get(index) ?? []);\n      vote.from.voteSettled({ fence: message.fence, outcome: 'accepted' });\n",
  },
  {
    name: 'one vote is enough, whatever the job asks for',
    world: 'grid',
    seed: 2,
    file: 'actors/quorum/quorum.state.ts',
    find: 'if (best !== null && count >= votes)',
    replace: 'if (best !== null && count >= 1)',
  },
  {
    name: 'a shard that lost an attempt wants no other',
    world: 'grid',
    seed: 4,
    file: 'actors/store/shard-rules.ts',
    find: "    if (attempt.state === 'leased') shard.wanted += 1;\n    if (change.state === 'failed')",
    replace: "    if (change.state === 'failed')",
  },
  {
    name: 'jobs that are open again after a fail-over are left asleep',
    world: 'grid',
    seed: 4,
    file: 'actors/job/jobs.actor.ts',
    find: 'for (const { id, partition } of result.value) if (owned.has(partition)) wake(id);',
    replace: 'void result.value;',
  },
  {
    name: 'messages overtake what was sent to the owner of before',
    world: 'cluster',
    seed: 21,
    file: 'runtime/cluster/router.ts',
    find: "    if (route.held !== undefined) return 'wait';\n",
    replace: '',
  },
  {
    name: 'entities write without their version and epoch',
    world: 'cluster',
    seed: 14,
    file: 'runtime/cluster/memory/memory-cluster.ts',
    find: 'if (row?.epoch !== epoch || row.version !== version) return false;',
    replace: 'if (row === undefined) return false;',
  },
  {
    name: 'repeated frames are read again',
    world: 'link',
    seed: 1,
    file: 'runtime/link/channel.ts',
    find: 'if (header.generation !== generation || header.frame <= heardFrames) return;',
    replace: 'if (header.generation !== generation) return;',
  },
  {
    name: 'a resumed link goes on where it was cut, not where the other side is',
    world: 'link',
    seed: 1,
    file: 'runtime/link/outbox.ts',
    find: '    this.#cursor = seen + 1;\n',
    replace: '',
  },
  {
    name: 'a resumed link sends a message that was cut in two from its middle, whatever arrived',
    world: 'link',
    seed: 1,
    file: 'runtime/link/outbox.ts',
    find: '    this.#offset = partial;\n',
    replace: '    this.#offset = partial > 0 ? partial + 1 : 0;\n',
  },
  {
    name: 'messages are forgotten when they are sent, not when they are consumed',
    world: 'link',
    seed: 1,
    file: 'runtime/link/outbox.ts',
    find: '    this.#transmitted = Math.max(this.#transmitted, this.#cursor - 1);\n',
    replace: '    this.#transmitted = Math.max(this.#transmitted, this.#cursor - 1);\n    this.acknowledge(this.#transmitted);\n',
  },
];
