/**
 * Text from outside as every store can keep it: PostgreSQL has no U+0000 in texts, and one reason with it would make a
 * whole commit fail that holds other people's votes.
 */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed();
}
