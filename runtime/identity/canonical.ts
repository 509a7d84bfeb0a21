/**
 * Canonical JSON after RFC 8785 (JCS): one value, one text, so that signatures over JSON mean the same on every machine.
 * Pure and safe in browsers.
 *
 * ECMAScript's own number and string forms are the canonical ones (RFC 8785, 3.2.2), so `JSON.stringify` writes the leaves;
 * this file sorts the members and refuses everything that JSON would change or drop without a word.
 */

/** Deeper values are refused; so are cycles, which end here as well. */
const MAX_DEPTH = 200;

/** In a `u` pattern a surrogate escape matches only a surrogate that has no partner. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

const encoder = new TextEncoder();

/**
 * The canonical text of a JSON value.
 *
 * @throws TypeError that names the place (`$.shards[3].size`) for anything that JSON cannot carry unchanged: NaN, infinities,
 *   undefined (also as a member's value), bigint, functions, symbols, lone surrogates, instances of classes, cycles.
 *   Minus zero becomes `0`, as the RFC says.
 */
export function canonicalJson(value: unknown): string {
  return write(value, '$', 0);
}

/** The canonical text as UTF-8: what gets hashed and signed. Throws as `canonicalJson` does. */
export function canonicalBytes(value: unknown): Uint8Array {
  return encoder.encode(canonicalJson(value));
}

function write(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) refuse(path, `is ${value}`);
      return JSON.stringify(value);
    case 'string':
      return writeString(value, path);
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_DEPTH) refuse(path, `is nested deeper than ${MAX_DEPTH} levels, or contains itself`);
      return Array.isArray(value) ? writeArray(value, path, depth) : writeObject(value, path, depth);
    default:
      return refuse(path, `is of type ${typeof value}`);
  }
}

function writeString(text: string, path: string): string {
  if (LONE_SURROGATE.test(text)) refuse(path, 'contains a surrogate without its partner');
  return JSON.stringify(text);
}

function writeArray(values: readonly unknown[], path: string, depth: number): string {
  // Array.from also visits holes, which then are refused as undefined.
  return `[${Array.from(values, (value, index) => write(value, `${path}[${index}]`, depth + 1)).join(',')}]`;
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  // A plain object's prototype is the root of its realm; asking for the root, not for ours, keeps other realms working.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) refuse(path, 'is an instance of a class, not a plain object');
  if (Object.getOwnPropertySymbols(value).length > 0) refuse(path, 'has a member named by a symbol');
  const members = value as Record<string, unknown>;
  // The default order of sort() is by UTF-16 code units: exactly the RFC's.
  const names = Object.keys(members).sort();
  return `{${names.map((name) => `${writeString(name, `${path}.${name}`)}:${write(members[name], `${path}.${name}`, depth + 1)}`).join(',')}}`;
}

function refuse(path: string, what: string): never {
  throw new TypeError(`canonical JSON: ${path} ${what}`);
}
