import type { VoteMessage } from '#actors/contract/agent-link.ts';
import { readComparable, type Comparable } from '#actors/contract/comparator.ts';
import { comparatorOf, maxErrorOf, quorumOf, type JobSpec } from '#actors/contract/job-spec.ts';
import { fenceText, MIB, type Fence, type ObjectRef, type SignedRequest } from '#actors/contract/primitives.ts';
import type { IncomingVote, IncomingVotes, OutputOffer } from '#actors/job/jobs.protocol.ts';
import type { JobRef } from '#actors/job/job.protocol.ts';
import { readOutputs } from '#actors/read-outputs.ts';
import { RefusalQuota } from '#actors/refusal-quota.ts';
import { isStaleEpoch } from '#actors/store/stale-epoch.ts';
import type { Change, JobRow, Lesson, Outcome, VoteRow } from '#actors/store/store.ts';
import type { Services } from '#actors/services.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { AUDIT_SHARE, auditCoin } from './audit-coin.ts';
import { Ballots, type Rows } from './ballots.ts';
import { lessonsOf } from './lessons.ts';
import type { OpenShard } from './open-shards.ts';
import { QuorumProtocol, type ReviewAnswer, type ReviewRequest } from './quorum.protocol.ts';
import { judge, type Rule, type ShardBallot, type Verdict } from './quorum.state.ts';
import { countedVotes, isContested, review, votesByShard } from './review.ts';
import type { AppTrust, TrustBook } from './trust-book.ts';
import { whyUnreachable } from './unreachable.ts';
import {
  openBatch,
  refusalByHash,
  refusalByLease,
  refusalBySignature,
  rememberingVerify,
  type Claim,
  type KnownLease,
} from './vote-checks.ts';

/** How long the leave to upload one output is good. */
const UPLOAD_TTL_SECONDS = 3_600;
/** How often shards are looked at again that wait for a device which may have gone, or which may have come. */
const RECHECK_MS = 5_000;
/** Changes of a review in one go: fewer than the ledger takes at once. */
const REVIEW_BATCH = 2_000;

type Values = ReadonlyMap<string, Comparable | null> | null;

/** A vote whose output was read, if a comparator has to. */
interface Weighed extends IncomingVote {
  readonly value?: Comparable | null;
}

/** Outputs that were uploaded, by digest: as the store measured them, and what they say. */
interface Measured {
  readonly stored: ReadonlyMap<string, ObjectRef | null>;
  readonly values: Values;
}

const NOTHING_MEASURED: Measured = { stored: new Map(), values: null };

export interface QuorumArgs extends Rows {
  readonly services: Services;
  readonly job: JobRow;
  readonly epoch: number;
  readonly owner: JobRef;
  /** Credit of devices with the job's app, and where it comes from. */
  readonly trust: AppTrust;
  readonly book: Pick<TrustBook, 'refresh'>;
  /** Makes the coins that decide what is audited. */
  readonly auditSecret: Uint8Array;
  /** Share of believed results that a trusted device checks; default 0.02. */
  readonly auditShare?: number;
  /** What a vote on this shard signs as its input. */
  readonly inputDigest: (index: number) => string | undefined;
  /** Module that this shard runs. */
  readonly moduleOf: (spec: JobSpec, index: number) => string;
  readonly onVoted: (index: number, vote: VoteRow) => void;
  /** Checks signatures; only a benchmark of the decisions alone replaces it. */
  readonly signatureRefusal?: typeof refusalBySignature;
}

/**
 * Takes the votes of one job. Order of checks: the lease, the hash, the signature; then the pure rule decides; then the
 * ledger makes vote, decision and what was learned of the voters durable in one commit. Only after that is anybody told. A
 * crash forgets nothing: the job is read again from the store and agents send again what was not acknowledged.
 */
export const quorumActor = defineActor({
  protocol: QuorumProtocol,
  async start(context, args: QuorumArgs) {
    const { services, job, epoch, trust, owner } = args;
    const signatureRefusal = args.signatureRefusal ?? refusalBySignature;
    const verifyBatch = rememberingVerify();
    const maxError = maxErrorOf(job.spec);
    const rule: Rule = maxError === null ? { type: 'quorum', votes: quorumOf(job.spec) } : { type: 'belief', maxError };
    const comparator = comparatorOf(job.spec);
    const values = await valuesOf(args.votes);
    const ballots = new Ballots(args, trust, quorumOf(job.spec), comparator && values ? { comparator, values } : null);
    const { leases, cast, open } = ballots;
    const isAudited = auditCoin(args.auditSecret, args.auditShare ?? AUDIT_SHARE);
    // Votes that wait for the commit of the one before them on the same shard: a decision never rests on a vote that
    // might not become durable.
    const waiting = new Map<number, (() => void)[]>();
    /** Leases whose attempt a refusal has ended. */
    const ended = new Set<string>();
    const refusals = new RefusalQuota();
    /** Shards that want a vote which nobody is there to give. */
    const stuck = new Set<number>();
    if (rule.type === 'belief') context.every(RECHECK_MS, recheck);

    function rowOf(vote: Weighed, shardId: number, refusal: string | null): VoteRow {
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
        ...(message.batch === undefined ? {} : { batch: message.batch }),
        refusal,
        at: context.clock.wall(),
      };
    }

    function submit(change: Change, settled: (outcome: Outcome) => void): void {
      submitAll([change], ([outcome]) => {
        if (outcome !== undefined) settled(outcome);
      });
    }

    function submitAll(changes: readonly Change[], settled: (outcomes: readonly Outcome[]) => void): void {
      context.pipe(Promise.all(changes.map((change) => services.ledger.submit(change))), (result) => {
        if (result.ok) {
          for (const { standings } of result.value) if (standings !== undefined) trust.keep(standings);
          return settled(result.value);
        }
        // Another coordinator owns the job now: nothing that this actor knows is true any more.
        if (isStaleEpoch(result.error)) return context.stop();
        throw result.error;
      });
    }

    function refuse(vote: Weighed, reason: string): void {
      const fence = fenceText(vote.message.fence);
      const lease = leases.get(fence);
      const shardId = lease?.shardId ?? 0;
      // The first refusal of its own lease ends the attempt, so it is always written.
      const endsAttempt = lease?.device === vote.device && !cast.has(fence) && !ended.has(fence);
      if (endsAttempt) ended.add(fence);
      else if (!refusals.take(vote.device)) return void vote.from.voteSettled({ fence: vote.message.fence, outcome: 'refused', reason });
      services.log.warn({ job: job.id, shard: vote.message.shard, device: vote.device, reason }, 'vote refused');
      submit({ type: 'refuse', partition: job.partition, epoch, vote: rowOf(vote, shardId, reason) }, (outcome) => {
        vote.from.voteSettled({ fence: vote.message.fence, outcome: 'refused', reason });
        // A refusal ends the sender's own attempt, so the shard may want another one.
        if (outcome.applied) owner.reopened({ index: vote.message.shard });
      });
    }

    function next(index: number): void {
      const queue = waiting.get(index) ?? [];
      waiting.delete(index);
      // Each takes its turn anew; the first that counts makes the others wait again.
      for (const judgeAgain of queue) judgeAgain();
    }

    function lessonsFor(vote: Weighed, ballot: ShardBallot, verdict: Verdict): readonly Lesson[] {
      const learned = lessonsOf(ballot, verdict, trust);
      return vote.trusted ? learned : [{ device: vote.device, kind: 'voted' }, ...learned];
    }

    /** What a vote decides, to be made durable; what follows from it once it is. */
    interface Counting {
      readonly vote: Weighed;
      readonly change: Change;
      /** Answers whether the vote counts. */
      readonly settled: (outcome: Outcome) => boolean;
    }

    function count(vote: Weighed, lease: KnownLease): void {
      const { change, settled } = counting(vote, lease);
      submit(change, (outcome) => {
        if (settled(outcome)) vote.from.voteSettled({ fence: vote.message.fence, outcome: 'accepted' });
      });
    }

    /** Votes of one device that came together: one answer of the ledger, and one to the device. */
    function countAll(counted: readonly Counting[]): void {
      const [first] = counted;
      if (first === undefined) return;
      submitAll(
        counted.map(({ change }) => change),
        (outcomes) => {
          const accepted: Fence[] = [];
          for (const [n, { vote, settled }] of counted.entries()) {
            const outcome = outcomes[n];
            if (outcome !== undefined && settled(outcome)) accepted.push(vote.message.fence);
          }
          if (accepted.length > 0) first.vote.from.votesAccepted(accepted);
        },
      );
    }

    function counting(vote: Weighed, lease: KnownLease): Counting {
      const { message, device } = vote;
      const index = message.shard;
      trust.meet(device, vote.principal, vote.trusted);
      const ballot = ballots.of(index);
      const row = rowOf(vote, lease.shardId, null);
      ballots.add(ballot, row, valueOf(vote));
      const verdict = judge(ballot, rule, trust);
      // While a trusted device is asked, nobody else can decide.
      const isAsked = open.get(index)?.coreOnly === true && verdict.by !== 'core';
      const decision = isAsked || verdict.decision === 'unreachable' ? 'none' : verdict.decision;
      const shard = decision === 'accept' ? ballots.close(index) : open.get(index);
      const restsOn = ballot.votes.length - 1;
      const change = { type: 'vote', partition: job.partition, epoch, vote: row, decision, restsOn } as const;
      const accepted = decision === 'accept' && verdict.leading !== null ? { accepted: verdict.leading.output } : {};
      const lessons = rule.type === 'belief' ? { lessons: { app: trust.app, learned: lessonsFor(vote, ballot, verdict) } } : {};
      cast.set(fenceText(message.fence), message.signature);
      waiting.set(index, waiting.get(index) ?? []);

      function settled(outcome: Outcome): boolean {
        // What this actor knows came from a database that has lost it: a new life reads what there is.
        if (outcome.forgotten) throw new Error(`the database has lost votes on shard ${index}`);
        if (!outcome.applied) {
          // The attempt had ended before its vote came: take the vote back out and say so.
          ballots.drop(ballot, device);
          cast.delete(fenceText(message.fence));
          if (shard !== undefined) open.open(shard);
          refuse(vote, 'the attempt had ended before its vote came');
          next(index);
          return false;
        }
        args.onVoted(index, row);
        owner.counted({ index });
        if (decision === 'another' || decision === 'core') {
          ballot.planned += 1;
          if (decision === 'core' && shard !== undefined) open.open({ ...shard, coreOnly: true });
          owner.reopened({ index });
        }
        if (verdict.decision === 'unreachable' && !isAsked) stuck.add(index);
        if (decision === 'accept') settle(index, ballot, verdict, shard);
        else next(index);
        return true;
      }
      return { vote, change: { ...change, ...accepted, ...lessons }, settled };
    }

    /** A durable decision; a coin that nobody could foresee may call for a check before it is told. */
    function settle(index: number, ballot: ShardBallot, verdict: Verdict, shard: OpenShard | undefined): void {
      if (ballot.votes.length > 1) ballot.learned = true;
      const draws = verdict.by === 'belief' && shard !== undefined && isAudited(job.id, index);
      if (draws && trust.hasCoreBesides(new Set(ballot.votes.map((vote) => vote.device)))) {
        return takeBack(shard, ballot, 'audit', (taken) => {
          if (!taken) tellProvisional(index, verdict);
          next(index);
        });
      }
      tellProvisional(index, verdict);
      next(index);
    }

    function tellProvisional(index: number, { leading }: Verdict): void {
      ballots.forget(index);
      if (leading !== null) owner.provisional({ index, output: leading.output });
    }

    /** Opens an accepted shard again, or sends an open one to a trusted device. */
    function takeBack(shard: OpenShard, ballot: ShardBallot, core: 'audit' | 'dispute' | null, done: (taken: boolean) => void): void {
      const at = context.clock.wall();
      const { partition, id } = job;
      submit({ type: 'reopen', partition, epoch, job: id, shardId: shard.id, core, at }, ({ applied }) => {
        if (applied) {
          ballot.planned = ballot.votes.length + 1;
          ballots.reopen({ ...shard, coreOnly: core !== null }, ballot);
          owner.reopened({ index: shard.index });
        }
        done(applied);
      });
    }

    function judgeVote(vote: Weighed, stored: ObjectRef | null, proven: boolean | null = null): void {
      const counted = judged(vote, stored, proven);
      if (counted !== null) count(vote, counted);
    }

    /** The lease under which the vote counts; null: it waits, or was answered. `proven`: what the check of its whole batch said. */
    function judged(vote: Weighed, stored: ObjectRef | null, proven: boolean | null): KnownLease | null {
      const { message } = vote;
      const queue = waiting.get(message.shard);
      if (queue !== undefined) {
        queue.push(() => judgeVote(vote, stored, proven));
        return null;
      }
      const fence = fenceText(message.fence);
      const lease = leases.get(fence);
      // It counted, and the answer was lost with a session or a life of this actor: the same vote gets the same answer.
      if (vote.again && lease?.device === vote.device && cast.get(fence) === message.signature) {
        vote.from.voteSettled({ fence: message.fence, outcome: 'accepted' });
        return null;
      }
      const reason =
        refusalByLease(message, {
          lease,
          device: vote.device,
          open: open.has(message.shard),
          replayed: cast.has(fence),
          hasVoted: ballots.hasVoted(message.shard, vote.device),
        }) ??
        refusalByCredit(vote.device) ??
        refusalByHash(message, stored) ??
        (proven === null
          ? signatureRefusal(message, vote.publicKey, claimOf(message.shard), verifyBatch)
          : proven
            ? null
            : 'the signature is not valid for this vote');
      if (reason === null && lease !== undefined) return lease;
      refuse(vote, reason ?? 'no such lease');
      return null;
    }

    /** What votes say, where a comparator decides. */
    async function valuesOf(votes: readonly Pick<VoteRow, 'output' | 'bytes'>[]): Promise<Values> {
      return comparator === null ? null : services.patiently(() => readOutputs(services.objects, comparator, votes));
    }

    function valueOf({ message, value }: Weighed): Comparable | null {
      if (comparator === null || message.bytes === undefined) return value ?? null;
      return readComparable(comparator, message.bytes);
    }

    function claimOf(index: number): Claim {
      return { module: args.moduleOf(job.spec, index), inputDigest: args.inputDigest(index) ?? '' };
    }

    function judgeBatch({ message, ...sender }: IncomingVotes, { stored, values: said }: Measured): void {
      const { proven, votes } = openBatch(message, sender.publicKey, claimOf);
      const counted: Counting[] = [];
      for (const one of votes) {
        const vote = { ...sender, message: one, value: said?.get(one.output.sha256) ?? null };
        const output = stored.get(one.output.sha256) ?? null;
        if (vote.again) {
          admit(vote, output);
          continue;
        }
        const lease = judged(vote, output, proven);
        if (lease !== null) counted.push(counting(vote, lease));
      }
      countAll(counted);
    }

    /** Outputs of these votes that did not travel with them: as the store measured them, and what they say. */
    async function measured(votes: readonly Pick<VoteMessage, 'output' | 'bytes'>[]): Promise<Measured> {
      const uploaded = votes.filter(({ bytes }) => bytes === undefined);
      const names = new Set(uploaded.map(({ output }) => output.sha256));
      if (uploaded.length > 0) await services.patiently(() => recordWanted(uploaded.map(({ output }) => output)));
      const stored = new Map(await Promise.all(Array.from(names, async (name) => [name, await services.objects.head(name)] as const)));
      return {
        stored,
        values: await valuesOf(uploaded.map(({ output }) => ({ output: stored.get(output.sha256) ?? output, bytes: null }))),
      };
    }

    function refusalByCredit(device: string): string | null {
      if (rule.type !== 'belief') return null;
      const quarantine = trust.quarantineOf(device);
      return quarantine === null ? null : `the device is in quarantine for this app: ${quarantine}`;
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
      context.pipe(leaveToUpload(output), (result) => {
        if (!result.ok) throw result.error;
        from.upload({ fence, ...result.value });
      });
    }

    /** Before anybody looks for them: the sweep leaves them alone now. */
    const recordWanted = (outputs: readonly ObjectRef[]): Promise<void> => services.store.recordObjects(outputs, context.clock.wall());

    /** None is needed when another device computed the same: then it is there already. */
    async function leaveToUpload(output: ObjectRef): Promise<{ put?: SignedRequest }> {
      const { objects } = services;
      await services.patiently(() => recordWanted([output]));
      return (await objects.head(output.sha256)) === null ? { put: await objects.presignPut(output, UPLOAD_TTL_SECONDS) } : {};
    }

    /** Of shards that were settled before this actor's life nothing is known here, and a vote on one may come once more. */
    function recall(vote: Weighed, stored: ObjectRef | null): void {
      const { job: id, shard, signature, fence } = vote.message;
      context.pipe(
        services.patiently(() => services.store.votesOf(id, shard)),
        (result) => {
          if (!result.ok) throw result.error;
          const counted = result.value.some((v) => v.refusal === null && v.device === vote.device && v.signature === signature);
          if (counted) vote.from.voteSettled({ fence, outcome: 'accepted' });
          else judgeVote(vote, stored);
        },
      );
    }

    function admit(vote: Weighed, stored: ObjectRef | null): void {
      if (vote.again && !leases.has(fenceText(vote.message.fence))) recall(vote, stored);
      else judgeVote(vote, stored);
    }

    /** Machines come and go: what waited for one that is gone goes to a trusted device, what nobody can decide is lost. */
    function recheck(): void {
      context.pipe(args.book.refresh(), (result) => {
        // PostgreSQL may be away; the next look comes soon.
        if (!result.ok) return services.log.warn({ error: result.error }, 'devices not read');
        for (const [index, ballot] of ballots.entries()) if (ballot.votes.length > 0 && !waiting.has(index)) recheckShard(index, ballot);
      });
    }

    function recheckShard(index: number, ballot: ShardBallot): void {
      const shard = open.get(index);
      if (shard === undefined) return;
      const wasStuck = stuck.delete(index);
      const { decision } = judge(wasStuck ? ballot : { ...ballot, planned: ballot.votes.length }, rule, trust);
      const calm = (): void => {};
      if (decision === 'core' && !shard.coreOnly) takeBack(shard, ballot, 'dispute', calm);
      else if (wasStuck && decision === 'another') takeBack(shard, ballot, null, calm);
      else if (wasStuck && decision === 'unreachable') owner.shardFailed({ index, reason: reasonOf(ballot) });
    }

    function reasonOf({ votes }: ShardBallot): string {
      const opinions = votes.flatMap(({ device, group, principal }) => {
        const p = trust.credibility(device);
        return p === null ? [] : [{ group, principal, p }];
      });
      return whyUnreachable(opinions, maxError ?? 0);
    }

    async function reviewed({ shards, votes, lastWord, again = false }: ReviewRequest): Promise<ReviewAnswer> {
      const byShard = votesByShard(votes);
      const said = await valuesOf(votes.filter((vote) => isContested(byShard.get(vote.index) ?? [])));
      if (!again) await Promise.all([rule.type === 'belief' ? trust.reload() : null, args.book.refresh()]);
      const isGood = ({ device }: VoteRow): boolean => !trust.isRevoked(device);
      const ballotOf = (index: number): ShardBallot => ballots.ballotOf((byShard.get(index) ?? []).filter(isGood), said);
      // Counts stand as they are, but for votes of devices that were shut out since.
      const doubted = rule.type === 'belief' ? shards : shards.filter(({ index }) => !(byShard.get(index) ?? []).every(isGood));
      if (rule.type === 'quorum' && doubted.length === 0)
        return { reopened: [], lost: [], standing: countedVotes(shards, ballotOf, rule.votes) };
      const standing = new Map(rule.type === 'quorum' ? countedVotes(shards, ballotOf, rule.votes) : []);
      const lost: { index: number; reason: string }[] = [];
      const doubtful: (() => Promise<number | null>)[] = [];
      for (const { shard, ballot, decision, belief, by } of review(doubted, ballotOf, { rule, fleet: trust, lastWord })) {
        if (decision === 'accept') standing.set(shard.index, { belief, by });
        else if (decision === 'unreachable') lost.push({ index: shard.index, reason: reasonOf(ballot) });
        else doubtful.push(() => takeBackNow(shard, ballot, decision === 'core' ? 'dispute' : null));
      }
      const reopened: number[] = [];
      for (let i = 0; i < doubtful.length; i += REVIEW_BATCH) {
        const taken = await Promise.all(doubtful.slice(i, i + REVIEW_BATCH).map((take) => take()));
        reopened.push(...taken.filter((index) => index !== null));
      }
      return { reopened, lost, standing };
    }

    async function takeBackNow(shard: OpenShard, ballot: ShardBallot, core: 'dispute' | null): Promise<number | null> {
      const { partition, id } = job;
      const change = { type: 'reopen', partition, epoch, job: id, shardId: shard.id, core, at: context.clock.wall() } as const;
      const { applied } = await services.ledger.submit(change);
      if (!applied) return null;
      ballot.planned = ballot.votes.length + 1;
      ballots.reopen({ ...shard, coreOnly: core !== null }, ballot);
      return shard.index;
    }

    return {
      offer: offered,
      leased(attempts) {
        for (const attempt of attempts) ballots.leased(attempt);
      },
      vote(vote) {
        if (vote.message.bytes !== undefined) return admit(vote, null);
        context.pipe(measured([vote.message]), (result) => {
          if (!result.ok) throw result.error;
          const { sha256 } = vote.message.output;
          admit({ ...vote, value: result.value.values?.get(sha256) ?? null }, result.value.stored.get(sha256) ?? null);
        });
      },
      votes(votes) {
        if (votes.message.votes.every(({ bytes }) => bytes !== undefined)) return judgeBatch(votes, NOTHING_MEASURED);
        context.pipe(measured(votes.message.votes), (result) => {
          if (!result.ok) throw result.error;
          judgeBatch(votes, result.value);
        });
      },
      review: reviewed,
    };
  },
});
