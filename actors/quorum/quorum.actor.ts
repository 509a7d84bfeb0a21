import type { JobSpec } from '#actors/contract/job-spec.ts';
import { fenceText, MIB } from '#actors/contract/primitives.ts';
import type { IncomingVote, OutputOffer } from '#actors/job/jobs.protocol.ts';
import type { JobRef } from '#actors/job/job.protocol.ts';
import { isStaleEpoch } from '#actors/store/stale-epoch.ts';
import type { AttemptRow, Change, JobRow, Outcome, ShardRow, VoteRow } from '#actors/store/store.ts';
import type { Services } from '#actors/services.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { QuorumProtocol } from './quorum.protocol.ts';
import { castVote, type ShardBallot } from './quorum.state.ts';
import { refusalByHash, refusalByLease, refusalBySignature, type KnownLease } from './vote-checks.ts';

/** How long the leave to upload one output is good. */
const UPLOAD_TTL_SECONDS = 3_600;

export interface QuorumArgs {
  readonly services: Services;
  readonly job: JobRow;
  readonly epoch: number;
  readonly shards: readonly ShardRow[];
  readonly attempts: readonly AttemptRow[];
  readonly votes: readonly VoteRow[];
  readonly owner: JobRef;
  /** What a vote on this shard signs as its input. */
  readonly inputDigest: (index: number) => string | undefined;
  /** Module that this shard runs. */
  readonly moduleOf: (spec: JobSpec, index: number) => string;
  readonly onVoted: (index: number, vote: VoteRow) => void;
}

/**
 * Takes the votes of one job. Order of checks: the lease, the hash, the signature; then the pure rule decides; then the
 * ledger makes vote and decision durable in one commit. Only after that is anybody told. A crash forgets nothing: the
 * job is read again from the store and agents send again what was not acknowledged.
 */
export const quorumActor = defineActor({
  protocol: QuorumProtocol,
  start(context, args: QuorumArgs) {
    const { services, job, epoch } = args;
    const leases = new Map<string, KnownLease>();
    const ballots = new Map<number, ShardBallot>();
    /** Signatures of the votes that count, by fence. */
    const cast = new Map<string, string>();
    // Votes that wait for the commit of the one before them on the same shard: a decision never rests on a vote that
    // might not become durable.
    const waiting = new Map<number, (() => void)[]>();
    // By index: a merge shard of a small job and a map shard of a huge one are looked up alike.
    const open = new Map<number, ShardRow>();

    for (const shard of args.shards) {
      if (shard.state === 'provisional' || shard.state === 'sealed' || shard.state === 'failed') continue;
      open.set(shard.index, shard);
    }
    const wanted = new Map(args.shards.map((s) => [s.index, s.wanted]));
    for (const attempt of args.attempts) {
      leases.set(fenceText(attempt.fence), attempt);
      if (attempt.state === 'leased') wanted.set(attempt.index, (wanted.get(attempt.index) ?? 0) + 1);
    }
    for (const vote of args.votes) {
      leases.set(fenceText(vote.fence), vote);
      cast.set(fenceText(vote.fence), vote.signature);
      ballotOf(vote.index).votes.set(vote.device, vote.output.sha256);
      ballotOf(vote.index).planned += 1;
    }

    function ballotOf(index: number): ShardBallot {
      let ballot = ballots.get(index);
      if (ballot === undefined) {
        ballot = { votes: new Map(), planned: wanted.get(index) ?? job.spec.quorum };
        ballots.set(index, ballot);
      }
      return ballot;
    }

    function rowOf(vote: IncomingVote, shardId: number, refusal: string | null): VoteRow {
      const { message } = vote;
      return {
        fence: message.fence,
        job: job.id,
        shardId,
        index: message.shard,
        device: vote.device,
        output: message.output,
        bytes: refusal === null ? (message.bytes ?? null) : null,
        signature: message.signature,
        refusal,
        at: context.clock.wall(),
      };
    }

    function submit(change: Change, settled: (outcome: Outcome) => void): void {
      context.pipe(services.ledger.submit(change), (result) => {
        if (result.ok) return settled(result.value);
        // Another coordinator owns the job now: nothing that this actor knows is true any more.
        if (isStaleEpoch(result.error)) return context.stop();
        throw result.error;
      });
    }

    function refuse(vote: IncomingVote, reason: string): void {
      const shardId = leases.get(fenceText(vote.message.fence))?.shardId ?? 0;
      services.log.warn({ job: job.id, shard: vote.message.shard, device: vote.device, reason }, 'vote refused');
      submit({ type: 'refuse', partition: job.partition, epoch, vote: rowOf(vote, shardId, reason) }, (outcome) => {
        vote.from.voteSettled({ fence: vote.message.fence, outcome: 'refused', reason });
        // A refusal ends the sender's own attempt, so the shard may want another one.
        if (outcome.applied) args.owner.reopened({ index: vote.message.shard });
      });
    }

    function next(index: number): void {
      const queue = waiting.get(index) ?? [];
      waiting.delete(index);
      // Each takes its turn anew; the first that counts makes the others wait again.
      for (const judgeAgain of queue) judgeAgain();
    }

    function count(vote: IncomingVote, lease: KnownLease): void {
      const { message } = vote;
      const ballot = ballotOf(message.shard);
      const shard = open.get(message.shard);
      const verdict = castVote(ballot, vote.device, message.output.sha256, job.spec.quorum);
      const row = rowOf(vote, lease.shardId, null);
      cast.set(fenceText(message.fence), message.signature);
      waiting.set(message.shard, waiting.get(message.shard) ?? []);
      if (verdict.decision === 'accept') open.delete(message.shard);
      submit({ type: 'vote', partition: job.partition, epoch, vote: row, decision: verdict.decision }, (outcome) => {
        if (!outcome.applied) {
          // The attempt had ended before its vote came: take the vote back out and say so.
          ballot.votes.delete(vote.device);
          cast.delete(fenceText(message.fence));
          if (shard !== undefined) open.set(message.shard, shard);
          refuse(vote, 'the attempt had ended before its vote came');
          return next(message.shard);
        }
        vote.from.voteSettled({ fence: message.fence, outcome: 'accepted' });
        args.onVoted(message.shard, row);
        args.owner.counted({ index: message.shard });
        if (verdict.decision === 'accept') args.owner.provisional({ index: message.shard, output: message.output });
        if (verdict.decision === 'another') args.owner.reopened({ index: message.shard });
        next(message.shard);
      });
    }

    function judge(vote: IncomingVote, stored: VoteRow['output'] | null): void {
      const { message } = vote;
      const queue = waiting.get(message.shard);
      if (queue !== undefined) {
        queue.push(() => judge(vote, stored));
        return;
      }
      const lease = leases.get(fenceText(message.fence));
      // It counted, and the answer was lost with a session or a life of this actor: the same vote gets the same answer.
      if (vote.again && lease?.device === vote.device && cast.get(fenceText(message.fence)) === message.signature) {
        return void vote.from.voteSettled({ fence: message.fence, outcome: 'accepted' });
      }
      const reason =
        refusalByLease(message, {
          lease,
          device: vote.device,
          open: open.has(message.shard),
          replayed: cast.has(fenceText(message.fence)),
          hasVoted: ballots.get(message.shard)?.votes.has(vote.device) ?? false,
        }) ??
        refusalByHash(message, stored) ??
        refusalBySignature(message, vote.publicKey, {
          module: args.moduleOf(job.spec, message.shard),
          inputDigest: args.inputDigest(message.shard) ?? '',
        });
      if (reason === null && lease !== undefined) return count(vote, lease);
      refuse(vote, reason ?? 'no such lease');
    }

    function offered({ fence, index, output, device, from }: OutputOffer): void {
      const lease = leases.get(fenceText(fence));
      const limit = job.spec.limits.outputMiB * MIB;
      const reason =
        lease === undefined || lease.device !== device || lease.index !== index
          ? 'no such lease'
          : output.size > limit
            ? `the output has ${output.size} bytes, the job allows ${limit}`
            : null;
      if (reason !== null) return void from.voteSettled({ fence, outcome: 'refused', reason });
      context.pipe(services.objects.head(output.sha256), (result) => {
        if (!result.ok) throw result.error;
        // It is there already when another device computed the same: nothing to send.
        if (result.value !== null) from.upload({ fence });
        else from.upload({ fence, put: services.objects.presignPut(output, UPLOAD_TTL_SECONDS) });
      });
    }

    /** Of shards that were settled before this actor's life nothing is known here, and a vote on one may come once more. */
    function recall(vote: IncomingVote, stored: VoteRow['output'] | null): void {
      const { job: id, shard, signature, fence } = vote.message;
      context.pipe(
        services.patiently(() => services.store.votesOf(id, shard)),
        (result) => {
          if (!result.ok) throw result.error;
          const counted = result.value.some((v) => v.refusal === null && v.device === vote.device && v.signature === signature);
          if (counted) vote.from.voteSettled({ fence, outcome: 'accepted' });
          else judge(vote, stored);
        },
      );
    }

    function admit(vote: IncomingVote, stored: VoteRow['output'] | null): void {
      if (vote.again && !leases.has(fenceText(vote.message.fence))) recall(vote, stored);
      else judge(vote, stored);
    }

    return {
      offer: offered,
      leased(attempts) {
        for (const attempt of attempts) leases.set(fenceText(attempt.fence), attempt);
      },
      vote(vote) {
        if (vote.message.bytes !== undefined) return admit(vote, null);
        context.pipe(services.objects.head(vote.message.output.sha256), (result) => {
          if (!result.ok) throw result.error;
          admit(vote, result.value);
        });
      },
    };
  },
});
