import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import type { GenerationRequest } from './generation.ts';
import { toHex } from './hex.ts';
import type { Sha256Function } from './merkle.ts';
import { DeviceId, Label, PublicKey, Sha256, Signature } from './primitives.ts';

/**
 * What a device signs about an answer of a model, and the paper that proves it afterwards.
 *
 *   statement   a device signs: these tokens and this text came from this model for this request
 *   receipt     statement and signature, under the grid's word that this key was this device's, and what an audit found
 *
 * A statement holds hashes only: who has a receipt and not the answer learns nothing of what was said. Whether the tokens are the
 * model's own is no matter of signatures: auditors compute that (see agent/executors/inference/audit-run.ts). Pure and safe in browsers.
 */

const encoder = new TextEncoder();
const Count = z.number().int().nonnegative();

export const AnswerStatement = z.strictObject({
  /** The attempt's own name: no other answer has it, so a statement cannot be used again. */
  generation: z.uuid(),
  device: DeviceId,
  /** Of the model file. */
  model: Sha256,
  /** What computed it: library, release, kind of processor. */
  engine: z.string().min(1).max(200),
  /** Of the model's chat template. */
  template: Sha256,
  /** As `requestDigestOf` makes it. */
  request: Sha256,
  seed: Count.max(0xffff_ffff),
  temperature: z.number().min(0).max(2),
  /** Of the prompt's tokens, as `tokensDigestOf` makes it. */
  prompt: Sha256,
  promptTokens: Count,
  /** Of all tokens of the answer. */
  tokens: Sha256,
  completionTokens: Count,
  /** Of the text in UTF-8, behind the first `textFrom` UTF-16 units. */
  text: Sha256,
  /** Of an answer that began elsewhere: how many tokens and units of text were there already. */
  tokensFrom: Count,
  textFrom: Count,
  outcome: z.enum(['stop', 'length']),
});
export type AnswerStatement = z.infer<typeof AnswerStatement>;

/** A statement and who signed it, as it comes from an agent. */
export const SignedAnswer = z.strictObject({ statement: AnswerStatement, signature: Signature });
export type SignedAnswer = z.infer<typeof SignedAnswer>;

/** What was found when another device computed the answer's likelihoods again. */
export const AuditFinding = z.strictObject({
  verdict: z.enum(['right', 'wrong', 'disputed', 'impossible']),
  /** One sentence for people. */
  why: z.string().max(2000),
  /** Devices that computed it again. */
  auditors: z.array(DeviceId).max(8),
  /** Milliseconds since 1970. */
  at: Count,
});
export type AuditFinding = z.infer<typeof AuditFinding>;

/** The grid's word. */
export const AnswerManifest = z.strictObject({
  version: z.literal(1),
  /** Under which the client knows the answer. */
  answer: z.uuid(),
  modelName: z.string().max(120),
  tenant: Label,
  /** Key of the device when it signed. */
  publicKey: PublicKey,
  /** When the answer ended, in milliseconds since 1970. */
  at: Count,
  audit: AuditFinding.nullable(),
  gridKey: PublicKey,
});
export type AnswerManifest = z.infer<typeof AnswerManifest>;

export const AnswerReceipt = z.strictObject({
  kind: z.literal('answer'),
  ...SignedAnswer.shape,
  manifest: AnswerManifest,
  manifestSignature: Signature,
});
export type AnswerReceipt = z.infer<typeof AnswerReceipt>;

/** The bytes that a device's signature covers. */
export function answerBytes(statement: AnswerStatement): Uint8Array {
  return encoder.encode(`corpgrid.answer.v1\0${canonicalJson(statement)}`);
}

/** The bytes that the grid's signature covers: its own word, and what the device signed. */
export function answerManifestBytes(manifest: AnswerManifest, { statement, signature }: SignedAnswer): Uint8Array {
  return encoder.encode(`corpgrid.answer-manifest.v1\0${canonicalJson({ manifest, statement, signature })}`);
}

/** SHA-256 (hex) of all that an answer depends on. What it resumed, and how urgent it was, is no part of that. */
export function requestDigestOf(request: GenerationRequest, sha256: Sha256Function): string {
  const { resume: _resume, priority: _priority, ...rest } = request;
  // Members that are undefined here are left out on the wire.
  const plain: unknown = JSON.parse(JSON.stringify(rest));
  return toHex(sha256(encoder.encode(`corpgrid.request.v1\0${canonicalJson(plain)}`)));
}

/** SHA-256 (hex) of tokens, four bytes each, little-endian. */
export function tokensDigestOf(tokens: readonly number[], sha256: Sha256Function): string {
  const bytes = new DataView(new ArrayBuffer(tokens.length * 4));
  for (const [i, token] of tokens.entries()) bytes.setUint32(i * 4, token, true);
  return toHex(sha256(new Uint8Array(bytes.buffer)));
}

/** SHA-256 (hex) of text in UTF-8. */
export function textDigestOf(text: string, sha256: Sha256Function): string {
  return toHex(sha256(encoder.encode(text)));
}
