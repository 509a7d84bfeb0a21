import {
  answerBytes,
  type AnswerStatement,
  requestDigestOf,
  type SignedAnswer,
  textDigestOf,
  tokensDigestOf,
} from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import type { GenerationOutcome } from '#agent/executors/inference/running-generations.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';

/** Who signs: this machine, under the name that the grid gave it. */
export interface Signatory {
  readonly device: string;
  readonly key: Pick<KeyPair, 'sign'>;
}

export interface SignedWork {
  readonly generation: string;
  /** SHA-256 of the model file. */
  readonly model: string;
  readonly request: GenerationRequest;
}

/** Keeps what is said of one answer until it can be signed. */
export interface AnswerSigner {
  said(tokens: readonly number[], text: string): void;
  /** Null for an answer that did not end by itself, or of an engine that does not tell what it computed. */
  sign(end: GenerationOutcome): SignedAnswer | null;
}

export function createAnswerSigner({ device, key }: Signatory, { generation, model, request }: SignedWork): AnswerSigner {
  const { resume, sampling } = request;
  const tokens = [...(resume?.tokens ?? [])];
  let text = '';
  return {
    said(more, piece) {
      for (const token of more) tokens.push(token);
      text += piece;
    },
    sign(end) {
      if (end.outcome === 'failed' || end.outcome === 'cancelled' || end.proof === undefined) return null;
      const statement: AnswerStatement = {
        generation, device, model, ...end.proof,
        request: requestDigestOf(request, sha256),
        seed: sampling.seed,
        temperature: sampling.temperature,
        promptTokens: end.promptTokens,
        tokens: tokensDigestOf(tokens, sha256),
        completionTokens: tokens.length,
        text: textDigestOf(text, sha256),
        tokensFrom: resume?.tokens.length ?? 0,
        textFrom: resume?.textLength ?? 0,
        outcome: end.outcome,
      }; // prettier-ignore
      return { statement, signature: Buffer.from(key.sign(answerBytes(statement))).toString('hex') };
    },
  };
}
