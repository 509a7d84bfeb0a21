import { PRIOR_A } from '#actors/store/standing-rules.ts';

import { mostBelieved, type Opinion } from './belief.ts';
import { MOST_EXECUTIONS } from './quorum.state.ts';

/** A number of new devices that no fleet needs. */
const MANY = 50;

/** Why a shard cannot be believed as far as its job asks, and what would help; for people. */
export function whyUnreachable(opinions: readonly Opinion[], maxError: number): string {
  const best = mostBelieved(opinions);
  const reached =
    best === null
      ? 'no vote counts'
      : `the best belief is ${shown(best.belief)}, by ${opinions.filter((o) => o.group === best.group).length} of ${opinions.length} votes`;
  const asked = `target unreachable: ${reached}; the job asks for ${shown(1 - maxError)}`;
  if (opinions.length >= MOST_EXECUTIONS)
    return `${asked}. ${MOST_EXECUTIONS} executions found no consensus: a trusted device would decide`;
  const more = newVoicesFor(opinions, best?.group ?? '', maxError);
  const others = more === null ? '' : `${more} more ${more === 1 ? 'device' : 'devices'} of other owners, or `;
  return `${asked}. ${others}a trusted device would reach it`;
}

function newVoicesFor(opinions: readonly Opinion[], group: string, maxError: number): number | null {
  const all = [...opinions];
  for (let more = 1; more <= MANY; more++) {
    all.push({ group, principal: `one more, number ${more}`, p: PRIOR_A });
    const best = mostBelieved(all);
    if (best !== null && best.group === group && best.belief >= 1 - maxError) return more;
  }
  return null;
}

function shown(probability: number): string {
  return probability > 0.99 ? probability.toFixed(6).replace(/0+$/, '') : probability.toFixed(3);
}
