import type { IncomingVote, OutputOffer } from '#actors/job/jobs.protocol.ts';
import type { AttemptRow } from '#actors/store/store.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** Votes of one job's open shards, and what they decide. */
export const QuorumProtocol = protocol('quorum', {
  /** Attempts that may vote from now on. Told before their commands go out. */
  leased: tell<Pick<AttemptRow, 'fence' | 'shardId' | 'index' | 'device'>[]>(),
  vote: tell<IncomingVote>(),
  /** Leave to upload is given to the holder of the lease, for one hash, within the job's output limit. */
  offer: tell<OutputOffer>(),
});
export type QuorumRef = Ref<typeof QuorumProtocol>;
