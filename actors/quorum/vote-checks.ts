import type { VoteMessage, VotesMessage } from '#actors/contract/agent-link.ts';
import { INLINE_LIMIT, type Fence, type ObjectRef } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { batchVotes, signedBytes } from '#actors/contract/vote-batch.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';

/** A lease as the quorum knows it: who may vote under this fence, and on what. */
export interface KnownLease {
  readonly fence: Fence;
  readonly shardId: number;
  readonly index: number;
  readonly device: string;
}

/** What is known of a vote before its hash and signature are looked at. */
export interface VoteContext {
  readonly lease: KnownLease | undefined;
  readonly device: string;
  /** The shard accepts votes: it is neither provisional nor sealed. */
  readonly open: boolean;
  /** This fence has a vote on record. */
  readonly replayed: boolean;
  /** The device has another counting vote on this shard. */
  readonly hasVoted: boolean;
}

const SETTLED = 'the shard is settled: it takes no more votes';

/** Why a vote cannot count by what the lease says, or null. Cheap: no hash, no signature. */
export function refusalByLease(message: VoteMessage, context: VoteContext): string | null {
  const { lease } = context;
  // Leases of settled shards are not kept in mind, so an unknown fence there proves nothing.
  if (lease === undefined && !context.open) return SETTLED;
  if (lease === undefined) return 'no such lease: the fence was never given for this job';
  if (lease.index !== message.shard) return 'the lease is for another shard';
  if (lease.device !== context.device) return "another device's lease";
  if (context.replayed) return 'replayed: the vote of this attempt is on record';
  if (context.hasVoted) return 'the device has already voted on this shard';
  if (!context.open) return SETTLED;
  return null;
}

/** Hash first: the bytes must be the ones that the vote names. `stored` is the object as the store measured it. */
export function refusalByHash(message: VoteMessage, stored: ObjectRef | null): string | null {
  const { bytes, output } = message;
  if (bytes !== undefined) {
    if (bytes.length > INLINE_LIMIT) return `inline output larger than ${INLINE_LIMIT} bytes`;
    if (bytes.length !== output.size || sha256Hex(bytes) !== output.sha256)
      return 'altered result: the bytes do not have the hash of the vote';
    return null;
  }
  if (stored === null) return 'the output was never uploaded';
  if (stored.size !== output.size) return 'altered result: the stored object has another size';
  return null;
}

/** Checks a signature; answers at once what it has seen. */
export type Verify = (signature: string, message: Uint8Array, publicKey: string) => boolean;

/** Batches whose signature is remembered: an agent has few under way at once. */
const REMEMBERED = 1_024;

/** Remembers good signatures, so that the votes of one batch cost one check. What it has not seen it checks. */
export function rememberingVerify(check: Verify = verify): Verify {
  const good = new Set<string>();
  return (signature, message, publicKey) => {
    const name = `${publicKey} ${signature} ${sha256Hex(message)}`;
    if (good.has(name)) return true;
    if (!check(signature, message, publicKey)) return false;
    good.add(name);
    const [oldest] = good;
    if (good.size > REMEMBERED && oldest !== undefined) good.delete(oldest);
    return true;
  };
}

/** What a vote on a shard signs besides its own words. */
export interface Claim {
  readonly module: string;
  readonly inputDigest: string;
}

/** The votes of a whole batch, each with its place, and whether the one signature over them is the key's. */
export function openBatch(
  { job, signature, votes }: VotesMessage,
  publicKey: string,
  claimOf: (index: number) => Claim,
): { readonly proven: boolean; readonly votes: readonly VoteMessage[] } {
  const statements = votes.map(({ shard, fence, output }) => voteBytes({ job, shard, fence, output, ...claimOf(shard) }));
  const { bytes, places } = batchVotes(statements, sha256);
  const proven = verify(signature, bytes, publicKey);
  return {
    proven,
    votes: votes.map((vote, n) => {
      const batch = places[n];
      return { type: 'vote', job, signature, ...vote, ...(batch === undefined ? {} : { batch }) };
    }),
  };
}

/** Then the signature, of the key that the session proved, over everything that the vote claims. */
export function refusalBySignature(message: VoteMessage, publicKey: string, claim: Claim, verifyBatch: Verify = verify): string | null {
  const own = voteBytes({
    job: message.job,
    shard: message.shard,
    fence: message.fence,
    module: claim.module,
    inputDigest: claim.inputDigest,
    output: message.output,
  });
  const bytes = signedBytes(own, message.batch, sha256);
  if (bytes === null) return 'the vote cannot stand where it says in its batch';
  // Only the signature of a batch is ever met again.
  const check = message.batch === undefined ? verify : verifyBatch;
  return check(message.signature, bytes, publicKey) ? null : 'the signature is not valid for this vote';
}
