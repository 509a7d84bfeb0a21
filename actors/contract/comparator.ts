import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import type { Fence } from './primitives.ts';

/**
 * When two outputs are the same result. `bytes`: when their bytes are. `json`: when their canonical JSON (RFC 8785) is. The
 * others compare numbers, which honest machines may compute a little differently: `absolute` |a − b| ≤ t, `relative`
 * |a − b| ≤ t · max(|a|, |b|), `ulp` at most t representable numbers apart; all else in a JSON output must be equal.
 *
 * Such nearness is not transitive: a ≈ b and b ≈ c, and yet a ≉ c. So votes are not chained. In the order of their fences each
 * joins the first group whose *founder*, its first member, it equals, and founds one otherwise; the founder's output stands for
 * the group. The groups are a function of the set of votes, whatever order they came in, and every two members of a group
 * are within twice the tolerance of each other. Pure and safe in browsers.
 */

const NUMBERS = {
  /** How the numbers are written: as JSON, or as little-endian floats one after the other. */
  format: z.enum(['json', 'f32', 'f64']).default('json'),
};

export const Comparator = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('bytes') }),
  z.strictObject({ type: z.literal('json') }),
  z.strictObject({ type: z.literal('absolute'), tolerance: z.number().positive(), ...NUMBERS }),
  z.strictObject({ type: z.literal('relative'), tolerance: z.number().positive().max(0.5), ...NUMBERS }),
  z.strictObject({ type: z.literal('ulp'), tolerance: z.number().int().min(1).max(1_048_576), ...NUMBERS }),
]);
export type Comparator = z.infer<typeof Comparator>;
type Nearness = Extract<Comparator, { tolerance: number }>;

/** Larger outputs are equal only when their bytes are. */
export const COMPARABLE_BYTES = 1_048_576;

/** Deeper JSON is equal only when its bytes are. */
const MAX_DEPTH = 100;

/** An output as a comparator sees it; null: not what the comparator reads, so only its bytes can be equal. */
export type Comparable = { readonly json: unknown } | { readonly canonical: string } | { readonly floats: Float32Array | Float64Array };

/** Reads an output. Never throws on hostile bytes. */
export function readComparable(comparator: Comparator, bytes: Uint8Array): Comparable | null {
  if (comparator.type === 'bytes' || bytes.length > COMPARABLE_BYTES) return null;
  if ('format' in comparator && comparator.format !== 'json') return readFloats(comparator.format, bytes);
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return comparator.type === 'json' ? { canonical: canonicalJson(json) } : { json };
  } catch {
    return null;
  }
}

function readFloats(format: 'f32' | 'f64', bytes: Uint8Array): Comparable | null {
  const width = format === 'f32' ? 4 : 8;
  if (bytes.length % width !== 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const floats = format === 'f32' ? new Float32Array(bytes.length / width) : new Float64Array(bytes.length / width);
  for (let i = 0; i < floats.length; i++)
    floats[i] = format === 'f32' ? view.getFloat32(i * width, true) : view.getFloat64(i * width, true);
  return { floats };
}

/** Whether two outputs that differ in their bytes are the same result. */
export function isSame(comparator: Comparator, a: Comparable | null, b: Comparable | null): boolean {
  if (a === null || b === null || comparator.type === 'bytes') return false;
  if ('canonical' in a) return 'canonical' in b && a.canonical === b.canonical;
  if (comparator.type === 'json') return false;
  if ('json' in a) return 'json' in b && sameJson(comparator, a.json, b.json, 0);
  if (!('floats' in b) || a.floats.length !== b.floats.length) return false;
  const { floats } = b;
  return a.floats.every((x, i) => isNear(comparator, x, floats[i] ?? Number.NaN, a.floats instanceof Float32Array));
}

function sameJson(comparator: Nearness, a: unknown, b: unknown, depth: number): boolean {
  if (typeof a === 'number' && typeof b === 'number') return isNear(comparator, a, b, false);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (depth >= MAX_DEPTH || Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return names.every((name) => Object.hasOwn(right, name) && sameJson(comparator, left[name], right[name], depth + 1));
}

function isNear({ type, tolerance }: Nearness, a: number, b: number, single: boolean): boolean {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  if (!Number.isFinite(a) || !Number.isFinite(b)) return false;
  if (type === 'absolute') return Math.abs(a - b) <= tolerance;
  if (type === 'relative') return Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
  const distance = rank(a, single) - rank(b, single);
  return distance <= BigInt(tolerance) && -distance <= BigInt(tolerance);
}

const scratch = new DataView(new ArrayBuffer(8));

/** Place of a number among all that can be written, so that neighbours differ by one; both zeros have place 0. */
function rank(x: number, single: boolean): bigint {
  if (single) scratch.setFloat32(0, Math.abs(x));
  else scratch.setFloat64(0, Math.abs(x));
  const place = single ? BigInt(scratch.getUint32(0)) : scratch.getBigUint64(0);
  return x < 0 ? -place : place;
}

/** A vote, as far as comparing goes. */
export interface ComparedVote {
  readonly fence: Fence;
  readonly sha256: string;
  readonly value: Comparable | null;
}

/** The group of each vote, by the digest of its founder's output. In the order of the votes given. */
export function groupsOf(comparator: Comparator, votes: readonly ComparedVote[]): string[] {
  const ordered = votes.toSorted((a, b) => a.fence.epoch - b.fence.epoch || a.fence.seq - b.fence.seq);
  const founders: ComparedVote[] = [];
  const groups = new Map<ComparedVote, string>();
  for (const vote of ordered) {
    const founder = founders.find((f) => f.sha256 === vote.sha256 || isSame(comparator, f.value, vote.value));
    if (founder === undefined) founders.push(vote);
    groups.set(vote, (founder ?? vote).sha256);
  }
  return votes.map((vote) => groups.get(vote) ?? vote.sha256);
}
