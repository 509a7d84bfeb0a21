import { falsehoodOf, isSignedBy } from '#actors/audit/answer-check.ts';
import { opinionOn } from '#actors/audit/judgement.ts';
import { answerBytes } from '#actors/contract/answer-receipt.ts';

import type { Answered, AuditedModel, Recomputed } from './audited-model.ts';

/** As the grid judges an answer that another device computed again. */
export function isFoundRight({ seen, receipt }: Answered, { gaps, prompt }: Recomputed): boolean {
  return opinionOn(gaps, seen.tokens.length + 1, { signed: receipt.statement.prompt, computed: prompt }).right;
}

/** As the grid looks at a receipt before it keeps it. */
export function isAccepted({ seen, receipt }: Answered, publicKey: string): boolean {
  return falsehoodOf(receipt, seen) === null && isSignedBy(receipt, publicKey);
}

/** One place has any other token; the rest stays. */
export function altered({ seen, receipt, likeliest }: Answered, vocabulary: number, random: () => number): Answered {
  const place = Math.floor(random() * seen.tokens.length);
  const token = ((seen.tokens[place] ?? 0) + 1 + Math.floor(random() * (vocabulary - 1))) % vocabulary;
  return { seen: { ...seen, tokens: seen.tokens.with(place, token) }, receipt, likeliest };
}

/** The hardest to see: one place has another of the model's five likeliest tokens, and the model itself went on behind it. */
export async function steered(model: AuditedModel, { seen }: Answered, random: () => number): Promise<Answered> {
  const place = Math.floor(random() * seen.tokens.length);
  const before = seen.tokens.slice(0, place);
  const { sampling } = seen.request;
  const asked = { ...seen.request, resume: { tokens: before, textLength: 0 } };
  const { likeliest } = await model.answer({ ...asked, sampling: { ...sampling, temperature: 0, maxTokens: place + 1, logprobs: 5 } });
  const others = likeliest.filter((token) => token !== seen.tokens[place]);
  const token = others[Math.floor(random() * others.length)] ?? 0;
  return model.answer({ ...seen.request, resume: { tokens: [...before, token], textLength: 0 } });
}

/** Signed by a key that is not the device's, or changed after it was signed. */
export function forged(answer: Answered, stranger: Pick<AuditedModel, 'key'>, n: number): Answered {
  const { statement, signature } = answer.receipt;
  if (n % 2 === 0) {
    const other = Buffer.from(stranger.key.sign(answerBytes(statement))).toString('hex');
    return { ...answer, receipt: { statement, signature: other } };
  }
  const model = 'bb'.repeat(32);
  return { ...answer, seen: { ...answer.seen, model }, receipt: { statement: { ...statement, model }, signature } };
}

/** The receipt of an earlier answer, of the same request every second time. */
export function replayed(answer: Answered, earlier: Answered, n: number): Answered {
  if (n % 2 === 0) return { ...answer, receipt: earlier.receipt };
  return { ...answer, seen: { ...answer.seen, attempt: earlier.seen.attempt.replace(/^./, 'f').replace(/.$/, '0') } };
}
