import type { Lesson } from '#actors/store/store.ts';

/**
 * What the gaps of an audit mean, and what follows for those who took part. Figures and how they were measured: docs/decisions,
 * "Answers are audited within a measured tolerance".
 */

/** Logits. One place further off than this is no matter of arithmetic. */
export const FARTHEST = 0.02;
/** Places that are off at all in an answer of an honest machine are rare and hair-thin: their sum stays below this. */
export const FARTHEST_SUM = 0.05;

/** What one auditor found. */
export interface Opinion {
  readonly auditor: string;
  readonly trusted: boolean;
  readonly right: boolean;
  readonly why: string;
}

/**
 * @param gaps of all places and of the end, as the auditor computed them
 * @param prompts digests of the prompt's tokens: as it was signed, and as the auditor made it
 */
export function opinionOn(
  gaps: readonly number[],
  places: number,
  prompts: { readonly signed: string; readonly computed: string | undefined },
): { readonly right: boolean; readonly why: string } {
  if (gaps.length !== places) return { right: false, why: `${places} places were to be judged and ${gaps.length} were` };
  if (prompts.signed !== prompts.computed) return { right: false, why: 'it was computed for another prompt' };
  let sum = 0;
  let worst = 0;
  let at = 0;
  for (const [i, gap] of gaps.entries()) {
    sum += gap;
    if (gap > worst) [worst, at] = [gap, i];
  }
  const place = at === places - 1 ? 'its end' : `token ${at}`;
  if (worst > FARTHEST) return { right: false, why: `${place} is ${worst.toPrecision(3)} logits from what the model says` };
  if (sum > FARTHEST_SUM) return { right: false, why: `all places together are ${sum.toPrecision(3)} logits from what the model says` };
  return { right: true, why: `every place is within ${FARTHEST} logits of what the model says` };
}

export interface Judgement {
  readonly verdict: 'right' | 'wrong' | 'disputed';
  readonly why: string;
  readonly lessons: readonly Lesson[];
}

/**
 * What is believed after these opinions; null when one more is needed. A trusted device's word is the truth; of others, nobody is struck
 * on the word of one.
 */
export function judge(device: string, opinions: readonly Opinion[]): Judgement | null {
  const [first] = opinions;
  if (first === undefined) return null;
  const deciding = opinions.find(({ trusted }) => trusted) ?? (first.right ? first : majority(opinions));
  if (deciding === undefined) return null;
  const lessons: Lesson[] = [{ device, kind: 'voted' }];
  const word = deciding.trusted ? 'a trusted device' : 'another device';
  if (deciding.right) lessons.push({ device, kind: deciding.trusted ? 'audited' : 'agreed' });
  else lessons.push({ device, kind: 'strike', why: `an answer of it is not the model's: ${deciding.why}` });
  for (const { auditor, trusted, right } of opinions) {
    if (right !== deciding.right && !trusted)
      lessons.push({ device: auditor, kind: 'voted' }, { device: auditor, kind: 'strike', why: 'others do not confirm its audit' });
  }
  const why = `${word} computed it again: ${deciding.why}`;
  return { verdict: deciding.right ? 'right' : 'wrong', why, lessons };
}

/** When nobody else can be asked. */
export function disputed(opinions: readonly Opinion[]): Judgement {
  return { verdict: 'disputed', why: `one device says of it: ${opinions[0]?.why ?? ''}; nobody else could compute it again`, lessons: [] };
}

/** With two opinions that agree, and of more the one that most share. */
function majority(opinions: readonly Opinion[]): Opinion | undefined {
  if (opinions.length < 2) return undefined;
  const right = opinions.filter((opinion) => opinion.right);
  const wrong = opinions.filter((opinion) => !opinion.right);
  if (right.length === wrong.length) return undefined;
  return right.length > wrong.length ? right[0] : wrong[0];
}
