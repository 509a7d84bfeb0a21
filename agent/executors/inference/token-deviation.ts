import { type Distribution, type Filters, logitChanges } from './token-sampler.ts';

/**
 * How far a token is from being the one that the sampler chooses, in logits: by so much another machine's logits would have to differ
 * from these to come to it. 0 for the chosen one itself. The same model on another machine, with other threads or in another batch, adds up in
 * another order and differs in the fifth digit; another model, another quantisation, another prompt or a made-up token differ in the first.
 */

/** More than any machine's arithmetic explains. */
export const FAR = 100;
/** Places around a filter's end that another machine's filter might end at. */
const EDGE = 3;

export interface Candidate {
  readonly token: number;
  readonly logit: number;
}

/** All tokens that may stand there, likeliest first; equals by id. Those that the request bans are left out. */
export function candidatesOf(raw: Distribution, filters: Filters, counts: ReadonlyMap<number, number>): Candidate[] {
  const changes = logitChanges(filters, counts);
  const found: Candidate[] = [];
  for (const [token, probability] of raw) {
    const change = changes.get(token) ?? 0;
    if (probability > 0 && change > -100) found.push({ token, logit: Math.log(probability) + change });
  }
  return found.sort((a, b) => b.logit - a.logit || a.token - b.token);
}

/** @param at what the sampler drew, in [0, 1); null when that is not known: then only what could be drawn at all is told from the rest */
export function deviationOf(sorted: readonly Candidate[], token: number, filters: Filters, at: number | null): number {
  const place = sorted.findIndex((candidate) => candidate.token === token);
  const own = sorted[place];
  const top = sorted[0];
  if (own === undefined || top === undefined) return FAR;
  if (filters.temperature === 0) return Math.min(FAR, top.logit - own.logit);
  let least = FAR;
  for (const { end, cost } of endsOf(sorted, filters)) {
    if (cost >= least) continue;
    const drawn = at === null ? Math.min(place, end - 1) : drawnAt(sorted, end, filters.temperature, at);
    // As it stands, and where another order of near equals would put it.
    for (const to of new Set([Math.min(place, end - 1), drawn])) {
      const moved = Math.abs(own.logit - (sorted[to]?.logit ?? own.logit)) / 2;
      const missed = at === null ? 0 : distance(sorted, { place, to, end }, filters.temperature, at);
      least = Math.min(least, Math.max(cost, moved, missed));
    }
  }
  return least;
}

/** Where top-k, top-p and min-p may end, and what of the logits would have to change for it. */
function endsOf(sorted: readonly Candidate[], { topK = 0, topP, minP = 0 }: Filters): { end: number; cost: number }[] {
  const most = topK > 0 ? Math.min(topK, sorted.length) : sorted.length;
  const top = sorted[0]?.logit ?? 0;
  const masses: number[] = [];
  let sum = 0;
  for (let i = 0; i < most; i++) masses.push((sum += Math.exp((sorted[i]?.logit ?? 0) - top)));
  const crossing = topP < 1 ? masses.findIndex((mass) => mass / sum >= topP) : -1;
  const byMass = crossing < 0 ? most : crossing + 1;
  const floor = minP > 0 ? top + Math.log(minP) : Number.NEGATIVE_INFINITY;
  let byFloor = most;
  while (byFloor > 1 && (sorted[byFloor - 1]?.logit ?? 0) < floor) byFloor -= 1;

  const usual = Math.min(byMass, byFloor);
  const ends = [{ end: usual, cost: 0 }];
  const massCost = (kept: number): number => Math.abs(logOdds((masses[kept - 1] ?? sum) / sum) - logOdds(topP)) / 2;
  const floorCost = (index: number): number => Math.abs((sorted[index]?.logit ?? 0) - floor) / 2;
  for (let end = Math.max(1, usual - EDGE); end <= Math.min(most, usual + EDGE); end++) {
    if (end < usual) ends.push({ end, cost: Math.min(topP < 1 ? massCost(end) : FAR, minP > 0 ? floorCost(end) : FAR) });
    if (end > usual) ends.push({ end, cost: Math.max(byMass < end ? massCost(end - 1) : 0, byFloor < end ? floorCost(end - 1) : 0) });
  }
  return ends.sort((a, b) => a.cost - b.cost);
}

function drawnAt(sorted: readonly Candidate[], end: number, temperature: number, at: number): number {
  const top = sorted[0]?.logit ?? 0;
  const weight = (i: number): number => Math.exp(((sorted[i]?.logit ?? 0) - top) / temperature);
  let total = 0;
  for (let i = 0; i < end; i++) total += weight(i);
  let rest = at * total;
  for (let i = 0; i < end; i++) if ((rest -= weight(i)) <= 0) return i;
  return end - 1;
}

/** Of the draw from the token's share, when the token stands at `to` among the first `end`. */
function distance(
  sorted: readonly Candidate[],
  { place, to, end }: { place: number; to: number; end: number },
  temperature: number,
  at: number,
): number {
  const top = sorted[0]?.logit ?? 0;
  let before = 0;
  let others = 0;
  let seen = 0;
  for (let i = 0; seen < end - 1 && i < sorted.length; i++) {
    if (i === place) continue;
    const weight = Math.exp(((sorted[i]?.logit ?? 0) - top) / temperature);
    if (seen < to) before += weight;
    others += weight;
    seen += 1;
  }
  const own = Math.exp(((sorted[place]?.logit ?? 0) - top) / temperature);
  const total = others + own;
  const low = before / total;
  const high = (before + own) / total;
  if (at >= low && at <= high) return 0;
  return Math.min(FAR, (temperature * Math.abs(logOdds(at) - logOdds(at < low ? low : high))) / 2);
}

function logOdds(share: number): number {
  const inside = Math.min(1 - 1e-12, Math.max(1e-12, share));
  return Math.log(inside / (1 - inside));
}
