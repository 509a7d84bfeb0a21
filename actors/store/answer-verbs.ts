import type { Lessons, StandingRow } from './store.ts';

/** An answer of a model that a device signed: see contract/answer-receipt.ts. */
export interface AnswerRow {
  /** Under which the client knows it. */
  readonly id: string;
  readonly tenant: string;
  readonly modelName: string;
  readonly device: string;
  /** Key of the device when it signed. */
  readonly publicKey: string;
  /** JSON. */
  readonly statement: string;
  readonly signature: string;
  readonly at: number;
  /** What an audit found, as JSON; null until then. */
  readonly finding: string | null;
}

/** What an audit of an answer found, and what that teaches about devices. */
export interface FindingRow {
  readonly answer: string;
  /** JSON. Null: nothing about the answer is to be kept. */
  readonly finding: string | null;
  readonly lessons: Lessons;
  readonly at: number;
}

/** Answers of models that devices signed. */
export interface AnswerVerbs {
  /** Each id once, however often it comes. */
  recordAnswers(answers: readonly AnswerRow[]): Promise<void>;
  findAnswer(id: string): Promise<AnswerRow | null>;
  /** Both or neither. Answers how the devices stand then. */
  recordFinding(finding: FindingRow): Promise<readonly StandingRow[]>;
}
