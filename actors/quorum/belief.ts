/**
 * How far a result is to be believed, from what its voters have earned.
 *
 * Each voter is right with a probability of its own (`p`). Right answers are one answer; wrong ones are taken to coincide,
 * because those that lie together are the case to be ready for. With L(G) = Π p over the votes for G × Π (1 − p) over the
 * others, and L0 = Π (1 − p) over all of them (everybody is wrong), the belief in G is L(G) / (L0 + Σ L).
 *
 * Devices of one principal are one voice: of their equal votes only the most credible counts.
 *
 * Source: Sarmenta, Sabotage-tolerance mechanisms for volunteer computing systems (2002), credibility-based voting, with the
 * last assumption made stricter.
 */

/** One vote, and what it is worth. */
export interface Opinion {
  /** What it says; equal results are one group. */
  readonly group: string;
  readonly principal: string;
  /** In (0, 1): how probably the voter is right. */
  readonly p: number;
}

export interface Belief {
  readonly group: string;
  /** In (0, 1). */
  readonly belief: number;
}

interface Group {
  readonly name: string;
  right: number;
  wrong: number;
  readonly voices: { readonly principal: string; p: number }[];
}

/** The most believed group, the lowest name first among equals; null without a vote. */
export function mostBelieved(opinions: readonly Opinion[]): Belief | null {
  const [first] = opinions;
  if (first === undefined) return null;
  // By far the most common: one vote alone.
  if (opinions.length === 1) return { group: first.group, belief: first.p };
  const groups = grouped(opinions);
  let everybodyWrong = 1;
  for (const group of groups) {
    for (const { p } of group.voices) {
      group.right *= p;
      group.wrong *= 1 - p;
    }
    everybodyWrong *= group.wrong;
  }
  let sum = everybodyWrong;
  let best: Group | null = null;
  let most = -1;
  for (const group of groups) {
    let likelihood = group.right;
    for (const other of groups) if (other !== group) likelihood *= other.wrong;
    sum += likelihood;
    if (likelihood > most || (likelihood === most && best !== null && group.name < best.name)) {
      best = group;
      most = likelihood;
    }
  }
  return best === null ? null : { group: best.name, belief: most / sum };
}

function grouped(opinions: readonly Opinion[]): Group[] {
  const groups: Group[] = [];
  for (const { group: name, principal, p } of opinions) {
    let group = groups.find((g) => g.name === name);
    if (group === undefined) groups.push((group = { name, right: 1, wrong: 1, voices: [] }));
    const voice = group.voices.find((v) => v.principal === principal);
    if (voice === undefined) group.voices.push({ principal, p });
    else voice.p = Math.max(voice.p, p);
  }
  return groups;
}
