import type { Lesson, StandingRow } from './store.ts';

/**
 * What a lesson does to a device's standing with one app. Both stores run these lines, PostgreSQL with the rows locked.
 *
 * A device starts with a = 0.8 and b = 0.2: one fifth of all machines is assumed to be bad. A vote that its peers confirm
 * is worth 0.8, because the peers may be bad as well; one that a trusted device confirms is worth 1. A strike throws the
 * device back to the start, with b raised by all strikes so far: from then on it has to be confirmed more often than
 * before. Three strikes, and more than one in twenty results wrong, is quarantine: no more work, and votes that are open
 * count no more. (With two, honest devices that colluders had outvoted were expelled twice as often.)
 *
 * Source: beta reputation (Jøsang, Ismail 2002) with the credibility of Sarmenta's sabotage tolerance (2002) as its prior;
 * the figures come from the simulation that `npm run bench -- trust` repeats on the real actors.
 */

/** The share of devices that is assumed to be bad. */
const ASSUMED_BAD = 0.2;
export const PRIOR_A = 1 - ASSUMED_BAD;
export const PRIOR_B = ASSUMED_BAD;
/** Worth of one agreement with peers, when a trusted device's is 1. */
const AGREEMENT = 1 - ASSUMED_BAD;
const QUARANTINE_STRIKES = 3;
const QUARANTINE_SHARE = 0.05;

/** A standing while lessons are applied to it. */
export type StandingUnderChange = { -readonly [Key in keyof StandingRow]: StandingRow[Key] };

export function newStanding(device: string, app: string, at: number): StandingUnderChange {
  return { device, app, a: PRIOR_A, b: PRIOR_B, results: 0, strikes: 0, quarantine: null, updatedAt: at };
}

/** Applies one lesson in place. */
export function learn(standing: StandingUnderChange, lesson: Lesson, at: number): void {
  standing.updatedAt = at;
  switch (lesson.kind) {
    case 'voted':
      standing.results += 1;
      return;
    case 'agreed':
      standing.a += AGREEMENT;
      return;
    case 'audited':
      standing.a += 1;
      return;
    case 'strike':
      return strike(standing, lesson.why);
    case 'quarantine':
      standing.quarantine ??= lesson.why;
      return;
  }
}

function strike(standing: StandingUnderChange, why: string): void {
  standing.strikes += 1;
  standing.a = PRIOR_A;
  standing.b = PRIOR_B + standing.strikes;
  if (standing.strikes >= QUARANTINE_STRIKES && standing.strikes > standing.results * QUARANTINE_SHARE) {
    standing.quarantine ??= `${standing.strikes} of ${standing.results} results were wrong; the last: ${why}`;
  }
}
