import { answerBytes, requestDigestOf, type SignedAnswer, textDigestOf, tokensDigestOf } from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';

/** An answer as the grid saw it come. */
export interface SeenAnswer {
  /** Name of the attempt that ended it. */
  readonly attempt: string;
  readonly device: string;
  /** SHA-256 of the model file. */
  readonly model: string;
  readonly request: GenerationRequest;
  /** All of them, those of earlier attempts too. */
  readonly tokens: readonly number[];
  /** What the last attempt said. */
  readonly text: string;
  /** Where the last attempt began. */
  readonly tokensFrom: number;
  readonly textFrom: number;
  readonly promptTokens: number;
  readonly outcome: 'stop' | 'length';
}

/** What a device signed that is not what it sent, or null. Costs a hash; the signature is another matter. */
export function falsehoodOf({ statement }: SignedAnswer, seen: SeenAnswer): string | null {
  const { sampling } = seen.request;
  const said: Readonly<Record<string, readonly [signed: string | number, seen: string | number]>> = {
    generation: [statement.generation, seen.attempt],
    device: [statement.device, seen.device],
    model: [statement.model, seen.model],
    request: [statement.request, requestDigestOf(seen.request, sha256)],
    seed: [statement.seed, sampling.seed],
    temperature: [statement.temperature, sampling.temperature],
    'number of prompt tokens': [statement.promptTokens, seen.promptTokens],
    tokens: [statement.tokens, tokensDigestOf(seen.tokens, sha256)],
    'number of tokens': [statement.completionTokens, seen.tokens.length],
    text: [statement.text, textDigestOf(seen.text, sha256)],
    'first token': [statement.tokensFrom, seen.tokensFrom],
    'first text': [statement.textFrom, seen.textFrom],
    outcome: [statement.outcome, seen.outcome],
  };
  const wrong = Object.entries(said).find(([, [signed, was]]) => signed !== was);
  return wrong === undefined ? null : `it signed another ${wrong[0]} than it sent`;
}

export function isSignedBy({ statement, signature }: SignedAnswer, publicKey: string): boolean {
  return verify(signature, answerBytes(statement), publicKey);
}
