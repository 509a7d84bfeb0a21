import { Refusal, type RefusalDetail } from '#runtime/kernel/errors.ts';

/**
 * Every failure that CorpGrid shows to people or programs, in one table: stable code, HTTP status, what it means.
 * `docs/errors.md` is generated from it and checked for drift.
 */
export const ERRORS = {
  BAD_REQUEST: { status: 400, meaning: 'The request does not have the documented form; the message names the field.' },
  BAD_SPEC: { status: 400, meaning: 'The job spec is wrong; the message names the field and the fix.' },
  BAD_BUNDLE: { status: 400, meaning: 'The module of the job is not one that an agent would run.' },
  BAD_CONFIGURATION: { status: 400, meaning: 'A setting, flag or environment variable is wrong.' },
  BAD_URL: { status: 400, meaning: 'The address of the grid is not one.' },
  BAD_TOKEN: { status: 401, meaning: 'The enrolment token is unknown, spent, expired or revoked.' },
  UNAUTHENTICATED: { status: 401, meaning: 'No valid key came with the request.' },
  FORBIDDEN: { status: 403, meaning: 'The key is valid, but may not do this.' },
  NOT_FOUND: { status: 404, meaning: 'There is no such thing, or it belongs to somebody else.' },
  CONFLICT: { status: 409, meaning: 'The thing is in a state that does not allow this.' },
  TOO_LARGE: { status: 413, meaning: 'More bytes than the limit named in the message.' },
  HASH_MISMATCH: { status: 422, meaning: 'The bytes do not have the SHA-256 that was promised.' },
  OBJECT_MISSING: { status: 422, meaning: 'The spec names an object that was never uploaded.' },
  BUSY: { status: 429, meaning: 'The grid takes no more of this right now; try again after the given time.' },
  UNREACHABLE: { status: 503, meaning: 'The grid, or a part of it that is needed here, cannot be reached.' },
  DATABASE: { status: 503, meaning: 'PostgreSQL cannot be started or reached; the message says which and what to do.' },
  MODEL_FAILED: { status: 503, meaning: 'The model could not be loaded or its host died; a later request may succeed.' },
  INSECURE_KEY: { status: 500, meaning: 'A key file or its folder can be read by others.' },
  INTERNAL: { status: 500, meaning: 'A defect of CorpGrid. The request id finds it in the log.' },
} as const satisfies Record<string, { status: number; meaning: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** An expected failure out of the table above. */
export class GridError extends Refusal {
  override readonly name = 'GridError';
  declare readonly code: ErrorCode;

  // oxlint-disable-next-line no-useless-constructor -- narrows the code to the table
  constructor(code: ErrorCode, message: string, detail: RefusalDetail = {}) {
    super(code, message, detail);
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** The kernel's own refusals. They pass by themselves, and their texts name parts of the inside: not for people. */
const PASSING = new Set(['ASK_TIMEOUT', 'ACTOR_CLOSED', 'MAILBOX_FULL']);

/** True for a refusal out of the table: its text was written for the one who asked. */
export function isListed(error: unknown): error is Refusal & { readonly code: ErrorCode } {
  return Refusal.is(error) && error.code in ERRORS;
}

/** The HTTP status for any thrown value: that of the table, 503 for what passes by itself, 500 for a defect. */
export function statusOf(error: unknown): number {
  if (isListed(error)) return ERRORS[error.code].status;
  return Refusal.is(error) && PASSING.has(error.code) ? 503 : 500;
}
