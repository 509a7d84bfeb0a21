import { toHex } from '#actors/contract/hex.ts';
import type { Sha256Function } from '#actors/contract/merkle.ts';

/**
 * The secrets that people and machines show at the door.
 *
 *   API key           cg_<16 characters: its public id>_<32 characters: the secret>
 *   enrolment token   cgt_<32 characters: the secret>
 *
 * The characters are base62, so that a double click selects the whole and no shell or URL needs quoting. 32 of them are 190 bits:
 * nobody guesses that, so a plain SHA-256 is enough for storage and lookup; slow password hashes are for what people make up.
 * The grid keeps the hash only; the secret is shown once.
 */

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** Bytes from here on would favour the first characters: 248 is the largest multiple of 62 in a byte. */
const UNBIASED = 248;

const API_KEY = /^cg_([0-9A-Za-z]{16})_[0-9A-Za-z]{32}$/;
const ENROLMENT_TOKEN = /^cgt_[0-9A-Za-z]{32}$/;

const encoder = new TextEncoder();

/** Answers that many unpredictable bytes. */
export type RandomBytes = (count: number) => Uint8Array;

export interface NewApiKey {
  /** Not secret: names the key in lists, logs and audit. */
  readonly id: string;
  /** The whole key: shown once, never stored. */
  readonly key: string;
  /** What is stored and looked up by. */
  readonly hash: string;
}

export function makeApiKey(random: RandomBytes, sha256: Sha256Function): NewApiKey {
  const id = randomText(16, random);
  const key = `cg_${id}_${randomText(32, random)}`;
  return { id, key, hash: secretHash(key, sha256) };
}

/** The id inside an API key; null when the text does not have the form of one. Says nothing about its being valid. */
export function parseApiKey(text: string): { readonly id: string } | null {
  const id = API_KEY.exec(text)?.[1];
  return id === undefined ? null : { id };
}

export interface NewEnrolmentToken {
  readonly token: string;
  readonly hash: string;
}

export function makeEnrolmentToken(random: RandomBytes, sha256: Sha256Function): NewEnrolmentToken {
  const token = `cgt_${randomText(32, random)}`;
  return { token, hash: secretHash(token, sha256) };
}

/** True when the text has the form of an enrolment token. */
export function isEnrolmentToken(text: string): boolean {
  return ENROLMENT_TOKEN.test(text);
}

/** SHA-256 of the whole text in hex: the form in which keys and tokens are stored. */
export function secretHash(text: string, sha256: Sha256Function): string {
  return toHex(sha256(encoder.encode(text)));
}

/** Compares two secrets, or two hashes, in a time that depends on their lengths only. */
export function equalSecrets(a: string, b: string): boolean {
  const left = encoder.encode(a);
  const right = encoder.encode(b);
  let difference = left.length ^ right.length;
  for (let i = 0; i < left.length; i++) difference |= (left[i] ?? 0) ^ (right[i] ?? 0);
  return difference === 0;
}

function randomText(length: number, random: RandomBytes): string {
  let text = '';
  while (text.length < length) {
    for (const byte of random(length)) {
      if (byte < UNBIASED && text.length < length) text += BASE62.charAt(byte % 62);
    }
  }
  return text;
}
