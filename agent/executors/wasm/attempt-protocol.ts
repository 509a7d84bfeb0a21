/**
 * What the agent tells an executor's child: one line of JSON on its standard input, which then stays open. Every line after it asks for
 * a checkpoint as soon as one can be made.
 */
export interface AttemptRequest {
  modulePath: string;
  args: string[];
  inputPath: string;
  outputPath: string;
  memoryMiB: number;
  outputMiB: number;
  /** What the whole process may take: far more than an honest module needs, so only malice or a defect gets there. */
  processMiB: number;
  /** Left out: no checkpoints are made. */
  checkpoints?: CheckpointOrder;
}

export interface CheckpointOrder {
  everyMs: number;
  /** Where they are written, as files named 1, 2, 3, ... */
  folder: string;
  /** SHA-256 of the module, and the digest of the shard's arguments and input: stand in each checkpoint. */
  module: string;
  inputDigest: string;
  /** A checkpoint to go on from. */
  from?: string;
}

/** What the child answers: one line of JSON on its standard output. */
export type AttemptVerdict = { ok: true } | { ok: false; reason: string; checkpointRefused?: boolean };

/** Before its answer, a line for each checkpoint that lies in the folder. */
export interface CheckpointLine {
  checkpoint: number;
  steps: number;
}

/** The contract's bound for the reason of a failed attempt, in characters. */
export const MAX_REASON = 2000;

/** Makes a text printable on one line and cuts it to the given number of characters. */
export function oneLine(text: string, limit = MAX_REASON): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return clean.length > limit ? `${clean.slice(0, limit - 3)}...` : clean;
}
