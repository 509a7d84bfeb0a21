const PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lower-case hex of bytes. Pure and safe in browsers. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += PAIRS[byte];
  return text;
}

/** Value of a digit by its character code; 16 for everything else. */
const DIGITS = new Uint8Array(128).fill(16);
for (let value = 0; value < 16; value++) DIGITS[value.toString(16).charCodeAt(0)] = value;

/** Bytes of lower-case hex that a schema has checked already. @throws RangeError for anything else */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >>> 1);
  let bad = text.length % 2;
  for (let i = 0; i < bytes.length; i++) {
    const high = DIGITS[text.charCodeAt(2 * i)] ?? 16;
    const low = DIGITS[text.charCodeAt(2 * i + 1)] ?? 16;
    bad |= (high | low) & 16;
    bytes[i] = (high << 4) | low;
  }
  if (bad !== 0) throw new RangeError('expected pairs of lower-case hex digits');
  return bytes;
}
