import type { ProblemJson } from '#actors/contract/live.ts';

/** A request that the grid refused, or that never reached it. `problem` is what people are shown. */
export class GridProblem extends Error {
  override readonly name = 'GridProblem';
  readonly problem: ProblemJson;

  constructor(problem: ProblemJson) {
    super(problem.message);
    this.problem = problem;
  }
}

export const UNREACHABLE: ProblemJson = {
  code: 'UNREACHABLE',
  message: 'The grid did not answer.',
  fix: 'Check that the coordinator runs and that this machine reaches it.',
};

/** Reads a problem out of whatever came; anything else becomes `fallback`. */
export function asProblem(raw: unknown, fallback: ProblemJson): ProblemJson {
  if (raw instanceof GridProblem) return raw.problem;
  if (typeof raw !== 'object' || raw === null) return fallback;
  // Some doors wrap the problem: { error: { code, message } }.
  const body = 'error' in raw && typeof raw.error === 'object' && raw.error !== null ? raw.error : raw;
  if (!('code' in body) || typeof body.code !== 'string' || !('message' in body) || typeof body.message !== 'string') return fallback;
  const text = (key: string): string | undefined => {
    const value: unknown = Reflect.get(body, key);
    return typeof value === 'string' ? value : undefined;
  };
  const path = text('path');
  const fix = text('fix');
  const requestId = text('requestId');
  return {
    code: body.code,
    message: body.message,
    ...(path === undefined ? {} : { path }),
    ...(fix === undefined ? {} : { fix }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}
