import type { AuditFinding } from '#actors/contract/answer-receipt.ts';
import type { GenerationArgs } from '#actors/generation/generation.actor.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { auditCoin } from '#actors/quorum/audit-coin.ts';
import type { Services } from '#actors/services.ts';
import type { AnswerRow } from '#actors/store/answer-verbs.ts';
import type { DeviceRow, Lesson } from '#actors/store/store.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { falsehoodOf, isSignedBy } from './answer-check.ts';
import { AnswersProtocol, type FinishedAnswer } from './answers.protocol.ts';
import { disputed, judge, opinionOn, type Judgement, type Opinion } from './judgement.ts';

/**
 * What devices signed about their answers, behind the answers' backs: a client waits for none of this.
 *
 *   finished ──▶ checked ──▶ kept ──coin──▶ audited by another device ──▶ right | wrong
 *      │                                        └─ wrong, by one that is not trusted ──▶ audited once more ──▶ right | wrong | disputed
 *      └─ not what it sent, or not its signature ──▶ refused, and its device is in quarantine for the model
 *
 * The coin is thrown with the grid's secret after the answer is kept: nobody can tell which answers are computed again. Only devices that have the
 * model ready are asked; where there is none the answer stays unaudited. Answers wait here for at most FLUSH_MS and are then in the store; audits
 * that are open when a coordinator ends are not made.
 */
export interface AnswersArgs {
  readonly services: Services;
  /** The share of answers that another device computes again, in [0, 1]. */
  readonly auditShare?: number | undefined;
  readonly coin: typeof auditCoin;
  readonly randomId: () => string;
  /** Runs a task on the model's other replicas. */
  readonly generate: (args: Omit<GenerationArgs, 'services' | 'usageLog' | 'answers' | 'attemptId'>) => GenerationRef;
}

/** One audit costs less than half of an answer. */
const AUDIT_SHARE = 0.05;
const FLUSH_MS = 200;
const MOST_ROWS = 1_000;
/** Audits under way, and those that wait. More are let go: the coin would have to be thrown for fewer. */
const AT_ONCE = 2;
const MOST_WAITING = 256;
/** Devices that are asked about one answer. */
const MOST_OPINIONS = 3;
/** Whose account audits are on. */
const ACCOUNT = { tenant: 'grid', apiKey: 'audits' };

export const answersActor = defineActor({
  protocol: AnswersProtocol,
  mailbox: { capacity: 65_536 },
  async start(context, { services, auditShare = AUDIT_SHARE, coin, randomId, generate }: AnswersArgs) {
    const secret = await services.patiently(() => services.store.clusterSecret());
    const isAudited = coin(secret, auditShare);
    const devices = new Map<string, DeviceRow>();
    let fresh: FinishedAnswer[] = [];
    let rows: { readonly row: AnswerRow; readonly answer: FinishedAnswer }[] = [];
    const waiting: FinishedAnswer[] = [];
    let underWay = 0;

    async function deviceOf(id: string, anew = false): Promise<DeviceRow | null> {
      const known = devices.get(id);
      if (known !== undefined && !anew) return known;
      const row = await services.store.findDevice(id);
      if (row !== null) devices.set(id, row);
      return row;
    }

    /** What is wrong with the signed statement, or null; the device's key when it is its own. */
    async function check({ receipt, seen }: FinishedAnswer): Promise<{ problem: string } | { publicKey: string }> {
      const problem = falsehoodOf(receipt, seen);
      if (problem !== null) return { problem };
      for (const anew of [false, true]) {
        const device = await deviceOf(seen.device, anew);
        if (device !== null && isSignedBy(receipt, device.publicKey)) return { publicKey: device.publicKey };
      }
      return { problem: 'the signature on its answer is not its own' };
    }

    async function write(): Promise<void> {
      while (fresh.length > 0) {
        const [answer] = fresh;
        if (answer === undefined) break;
        const checked = await check(answer);
        if ('problem' in checked) await refuse(answer, checked.problem);
        else rows.push({ row: rowOf(answer, checked.publicKey, context.clock.wall()), answer });
        fresh.shift();
      }
      while (rows.length > 0) {
        const batch = rows.slice(0, MOST_ROWS);
        await services.store.recordAnswers(batch.map(({ row }) => row));
        rows = rows.slice(batch.length);
        for (const { answer } of batch) if (isAudited(answer.id, 0)) enqueue(answer);
      }
    }

    async function refuse({ id, seen, pool }: FinishedAnswer, problem: string): Promise<void> {
      services.log.warn({ answer: id, device: seen.device, problem }, 'receipt of an answer refused');
      await teach(id, null, seen.model, [{ device: seen.device, kind: 'quarantine', why: problem }]);
      pool.judged();
    }

    async function teach(answer: string, finding: AuditFinding | null, app: string, learned: readonly Lesson[]): Promise<void> {
      const text = finding === null ? null : JSON.stringify(finding);
      await services.store.recordFinding({ answer, finding: text, lessons: { app, learned }, at: context.clock.wall() });
    }

    let writing: Promise<void> | null = null;
    /** One at a time: they share what waits. */
    async function writeSoon(): Promise<void> {
      writing ??= write().finally(() => (writing = null));
      await writing.catch((error: unknown) => services.log.warn({ error, waiting: fresh.length + rows.length }, 'answers not written yet'));
    }

    function enqueue(answer: FinishedAnswer): void {
      if (waiting.length >= MOST_WAITING) waiting.shift();
      waiting.push(answer);
      next();
    }

    function next(): void {
      while (underWay < AT_ONCE) {
        const answer = waiting.shift();
        if (answer === undefined) return;
        underWay += 1;
        context.pipe(audit(answer), (result) => {
          underWay -= 1;
          if (!result.ok) services.log.warn({ error: result.error, answer: answer.id }, 'audit not made');
          next();
        });
      }
    }

    async function audit(answer: FinishedAnswer): Promise<void> {
      const { id, seen } = answer;
      const opinions: Opinion[] = [];
      let judgement: Judgement | null = null;
      while (judgement === null) {
        const opinion = opinions.length < MOST_OPINIONS ? await ask(answer, [seen.device, ...opinions.map((o) => o.auditor)]) : null;
        if (opinion === null && opinions.length === 0) return;
        if (opinion !== null) opinions.push(opinion);
        judgement = opinion === null ? disputed(opinions) : judge(seen.device, opinions);
      }
      const { verdict, why, lessons } = judgement;
      const auditors = opinions.map((opinion) => opinion.auditor);
      if (verdict !== 'right') services.log.warn({ answer: id, device: seen.device, auditors, why }, 'audit of an answer');
      const finding: AuditFinding = { verdict, why: why.slice(0, 2000), auditors, at: context.clock.wall() };
      await services.patiently(() => teach(id, finding, seen.model, lessons));
      if (lessons.some((lesson) => lesson.kind === 'strike')) answer.pool.judged();
    }

    /** Null when no other device can. */
    async function ask({ receipt, seen, modelName, pool }: FinishedAnswer, notOn: readonly string[]): Promise<Opinion | null> {
      const { resume: _resume, priority: _priority, deterministic: _deterministic, ...request } = seen.request;
      const { promise, resolve } = Promise.withResolvers<string | null>();
      const gaps: number[] = [];
      let prompt: string | undefined;
      generate({
        generation: randomId(),
        model: modelName,
        modelFile: seen.model,
        pool,
        work: { task: { kind: 'audit', request, tokens: [...seen.tokens], outcome: seen.outcome } },
        usage: ACCOUNT,
        notOn,
        sink: {
          started() {},
          text() {},
          values(values) {
            for (const gap of values.gaps ?? []) gaps.push(gap);
            prompt ??= values.prompt;
          },
          ended: ({ finish, device }) => resolve(finish === 'cancelled' ? null : device),
          failed: () => resolve(null),
          refused: () => resolve(null),
        },
      });
      const auditor = await promise;
      if (auditor === null) return null;
      const { right, why } = opinionOn(gaps, seen.tokens.length + 1, { signed: receipt.statement.prompt, computed: prompt });
      return { auditor, trusted: (await deviceOf(auditor))?.trusted === true, right, why };
    }

    context.every(FLUSH_MS, writeSoon);
    context.onStop(writeSoon);

    return {
      finished: (answer) => void fresh.push(answer),
      async flush() {
        await writing?.catch(() => {});
        await write();
      },
    };
  },
});

function rowOf({ id, tenant, modelName, receipt, seen }: FinishedAnswer, publicKey: string, at: number): AnswerRow {
  const { statement, signature } = receipt;
  return { id, tenant, modelName, device: seen.device, publicKey, statement: JSON.stringify(statement), signature, at, finding: null };
}
