import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import type { ChatMessage, GenerationRequest, ToolUse } from '#actors/contract/generation.ts';
import { callsAsText, toolInstructions } from '#actors/contract/tool-text.ts';

import type { HttpClient } from './http-client.ts';

const Templated = z.object({ prompt: z.string() });
const Tokenized = z.object({ tokens: z.array(z.number().int().nonnegative()).max(4_000_000) });

/** Letters and digits only, so that no template trims or escapes them. */
const MARK = /cgx[0-9a-f]{32}x/;

interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Results come as a user's words, calls as the assistant's own text: what the models that call in this form were trained on. */
function turnsOf(messages: readonly ChatMessage[], toolUse: ToolUse | undefined): Turn[] {
  const turns = messages.map((message): Turn => {
    const { role, content } = message;
    if (role === 'tool') return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` };
    const calls = callsAsText(message.toolCalls ?? []);
    return { role, content: content === '' || calls === '' ? content + calls : `${content}\n${calls}` };
  });
  if (toolUse === undefined || toolUse.choice === 'none') return turns;
  const instructions = toolInstructions(toolUse.tools);
  const [first, ...rest] = turns;
  if (first?.role !== 'system') return [{ role: 'system', content: instructions }, ...turns];
  return [{ role: 'system', content: `${first.content}\n\n${instructions}` }, ...rest];
}

/**
 * The prompt as tokens. A llama-server reads control tokens out of any text, so that a person who writes a control token's name
 * would get the token: the template is filled with marks, and what messages say is put into their places as plain text.
 *
 * @throws ServedError `PROMPT` when the template refuses the messages
 */
export async function llamaPrompt(http: HttpClient, request: GenerationRequest, signal: AbortSignal): Promise<number[]> {
  const { messages, prompt, toolUse } = request;
  if (prompt !== undefined)
    return typeof prompt === 'string' ? tokenize(http, prompt, { special: false, begin: true }, signal) : [...prompt];
  const turns = turnsOf(messages ?? [], toolUse);
  const marks = new Map(turns.map(({ content }) => [`cgx${randomBytes(16).toString('hex')}x`, content]));
  const marked = [...marks.keys()].map((mark, i) => ({ role: turns[i]?.role ?? 'user', content: mark }));
  const { prompt: text } = await http.post('/apply-template', { messages: marked }, Templated, signal);
  const tokens: number[] = [];
  for (const { piece, special } of piecesOf(text, marks))
    tokens.push(...(await tokenize(http, piece, { special, begin: special && tokens.length === 0 }, signal)));
  return tokens;
}

function piecesOf(text: string, marks: ReadonlyMap<string, string>): { piece: string; special: boolean }[] {
  const pieces: { piece: string; special: boolean }[] = [];
  let rest = text;
  for (let found = MARK.exec(rest); found !== null; found = MARK.exec(rest)) {
    pieces.push({ piece: rest.slice(0, found.index), special: true }, { piece: marks.get(found[0]) ?? '', special: false });
    rest = rest.slice(found.index + found[0].length);
  }
  pieces.push({ piece: rest, special: true });
  return pieces.filter(({ piece }) => piece !== '');
}

async function tokenize(
  http: HttpClient,
  content: string,
  { special, begin }: { special: boolean; begin: boolean },
  signal: AbortSignal,
): Promise<number[]> {
  const body = { content, parse_special: special, add_special: begin };
  return (await http.post('/tokenize', body, Tokenized, signal)).tokens;
}
