import type { SeenAnswer } from '#actors/audit/answer-check.ts';
import { answerBytes, answerManifestBytes, type AnswerReceipt, type SignedAnswer } from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import { createAnswerSigner } from '#agent/models/answer-signer.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';

/** Answers as an agent signs them and a grid sees them. */

export const ATTEMPT = '00000000-0000-4000-8000-000000000001';
export const DEVICE = 'dev-0123456789';
const MODEL = 'aa'.repeat(32);
export const REQUEST: GenerationRequest = {
  messages: [{ role: 'user', content: 'say it' }],
  sampling: { maxTokens: 3, temperature: 0.5, topP: 1, seed: 7, stop: [], topK: undefined },
};
export const TEXT = 'one two';
const PROOF = { prompt: 'bb'.repeat(32), template: 'cc'.repeat(32), engine: 'an engine' };

export function seenAnswer(changes: Partial<SeenAnswer> = {}): SeenAnswer {
  return {
    attempt: ATTEMPT, device: DEVICE, model: MODEL, request: REQUEST, tokens: [5, 6, 7], text: TEXT,
    tokensFrom: 0, textFrom: 0, promptTokens: 4, outcome: 'length', ...changes,
  }; // prettier-ignore
}

export function signedBy(key: KeyPair, seen: SeenAnswer = seenAnswer()): SignedAnswer {
  const { request, tokens, tokensFrom, textFrom } = seen;
  const resume = tokensFrom === 0 ? {} : { resume: { tokens: tokens.slice(0, tokensFrom), textLength: textFrom } };
  const work = { generation: seen.attempt, model: seen.model, request: { ...request, ...resume, priority: 3 } };
  const signer = createAnswerSigner({ device: seen.device, key }, work);
  signer.said(tokens.slice(tokensFrom), seen.text);
  const counts = { promptTokens: seen.promptTokens, completionTokens: tokens.length };
  const signed = signer.sign({ outcome: seen.outcome, ...counts, proof: PROOF, retryable: false });
  if (signed === null) throw new Error('nothing was signed');
  return signed;
}

/** The same statement with other words in it, signed by the same key. */
export function restated(key: KeyPair, { statement }: SignedAnswer, changes: Partial<SignedAnswer['statement']>): SignedAnswer {
  const other = { ...statement, ...changes };
  return { statement: other, signature: Buffer.from(key.sign(answerBytes(other))).toString('hex') };
}

export function receiptOf(
  grid: KeyPair,
  publicKey: string,
  signed: SignedAnswer,
  audit: AnswerReceipt['manifest']['audit'] = null,
): AnswerReceipt {
  const manifest = {
    version: 1, answer: ATTEMPT, modelName: 'tiny', tenant: 'acme', publicKey, at: 1, audit, gridKey: grid.publicKey,
  } as const; // prettier-ignore
  const manifestSignature = Buffer.from(grid.sign(answerManifestBytes(manifest, signed))).toString('hex');
  return { kind: 'answer', ...signed, manifest, manifestSignature };
}

export { generateKeyPair };
