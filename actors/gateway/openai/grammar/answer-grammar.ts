import type { ToolUse } from '#actors/contract/generation.ts';
import { CALL_ARGUMENTS, CALL_CLOSE, CALL_NAME, CALL_OPEN } from '#actors/contract/tool-text.ts';

import { either, Gbnf, literal } from './gbnf.ts';
import { SchemaWriter, UnsupportedSchema } from './json-schema.ts';

export interface AnswerShape {
  /** The schema that the text of the answer follows; undefined: any text. */
  readonly schema?: unknown;
  readonly toolUse?: ToolUse | undefined;
}

const MARK = CALL_OPEN.trimEnd();

/** Where in a request an unsupported schema stood. */
export class UnsupportedAnswer extends Error {
  /** Of the tool; null: the response format's. */
  readonly tool: number | null;
  readonly at: string;

  constructor(tool: number | null, { at, message }: UnsupportedSchema) {
    super(message);
    this.tool = tool;
    this.at = at;
  }
}

/**
 * The grammar of an answer, or undefined when it may be anything. With tools: calls in the form of contract/tool-text.ts whose arguments
 * follow their schemas. A model that may choose writes text without the mark of a call, and then calls, or none.
 *
 * @throws UnsupportedAnswer
 */
export function answerGrammar({ schema, toolUse }: AnswerShape): string | undefined {
  const callable = toolUse === undefined || toolUse.choice === 'none' ? undefined : toolUse;
  if (schema === undefined && callable === undefined) return undefined;
  const gbnf = new Gbnf();
  gbnf.define('root', '""');
  const json = schema === undefined ? undefined : written(gbnf, schema, null);
  if (callable === undefined) gbnf.define('root', json ?? '""');
  else gbnf.define('root', callsIn(gbnf, callable, json));
  return gbnf.toString();
}

function written(gbnf: Gbnf, schema: unknown, tool: number | null): string {
  try {
    return new SchemaWriter(gbnf, schema).write();
  } catch (error) {
    throw error instanceof UnsupportedSchema ? new UnsupportedAnswer(tool, error) : error;
  }
}

function callsIn(gbnf: Gbnf, { tools, choice, parallel }: ToolUse, json: string | undefined): string {
  const wanted = typeof choice === 'object' ? tools.filter(({ name }) => name === choice.name) : tools;
  const bodies = wanted.map((tool) => {
    const parameters = written(gbnf, JSON.parse(tool.parameters), tools.indexOf(tool));
    return gbnf.rule('call', `${literal(CALL_NAME + JSON.stringify(tool.name) + CALL_ARGUMENTS)} ${parameters} ${literal(CALL_CLOSE)}`);
  });
  const body = gbnf.rule('calls', either(bodies));
  // Who names the function wants one call of it: a model that does not know when to end would call it until its last token.
  const more = parallel && typeof choice === 'string' ? ` (${literal(`\n${CALL_OPEN}`)} ${body})*` : '';
  const rest = gbnf.rule('rest', `${literal(CALL_OPEN.slice(MARK.length))} ${body}${more}`);
  const calls = `${literal(MARK)} ${rest}`;
  if (choice !== 'auto') return calls;
  return json === undefined ? textThenCalls(gbnf, rest) : `${json} | ${calls}`;
}

/** Text that never spells the mark, and then calls or the end. One rule for each number of the mark's letters seen. */
function textThenCalls(gbnf: Gbnf, rest: string): string {
  const states = Array.from(MARK, () => gbnf.reserve('text'));
  const [start = '', one = ''] = states;
  for (const [seen, letter] of Array.from(MARK).entries()) {
    const next = states[seen + 1] ?? rest;
    const again = seen === 0 ? '' : ` | "<" ${one}`;
    const others = letter === '<' ? '[^<]' : `[^${letter}<]`;
    gbnf.define(states[seen] ?? '', `${literal(letter)} ${next}${again} | ${others} ${start} | ""`);
  }
  return start;
}
