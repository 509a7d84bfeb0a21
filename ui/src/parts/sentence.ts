/** A message of the grid as a sentence for people, split where it quotes code in backticks. */
export function sentenceParts(message: string): { text: string; code: boolean }[] {
  const parts = message.split('`').map((text, index) => ({ text, code: index % 2 === 1 }));
  const [first] = parts;
  const last = parts.at(-1);
  if (first && !first.code) first.text = first.text.slice(0, 1).toUpperCase() + first.text.slice(1);
  if (last && !/[.!?…]\s*$/.test(message)) last.text += '.';
  return parts.filter((part) => part.text !== '');
}
