import { Refusal } from '#runtime/kernel/errors.ts';

/** What one look at this installation found. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do about it; there whenever it is not `ok`. */
  readonly fix?: string;
}

export type Verdict = Omit<Finding, 'check'>;

export const ok = (detail: string): Verdict => ({ state: 'ok', detail });
export const warn = (detail: string, fix: string): Verdict => ({ state: 'warn', detail, fix });
export const fail = (detail: string, fix: string): Verdict => ({ state: 'fail', detail, fix });

/** A look that says itself what is wrong: what it throws is its finding. No look keeps the others from theirs. */
export async function look(check: string, work: () => Promise<Verdict> | Verdict): Promise<Finding> {
  try {
    return { check, ...(await work()) };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const fix = Refusal.is(error) ? error.fix : undefined;
    return { check, ...fail(detail, fix ?? 'nobody foresaw this: the text before names what could not be done') };
  }
}
