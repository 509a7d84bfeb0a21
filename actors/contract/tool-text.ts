import type { ToolCall, ToolSpec } from './generation.ts';

/**
 * How tool calls stand in a model's text. One form for all models, the one that Hermes, Qwen and many others were trained on:
 *
 *   <tool_call>
 *   {"name": "add", "arguments": {"a": 1, "b": 2}}
 *   </tool_call>
 *
 * Coordinators parse it, engines write it into prompts, and a grammar holds the model to it.
 */

export const CALL_OPEN = '<tool_call>\n';
export const CALL_NAME = '{"name": ';
export const CALL_ARGUMENTS = ', "arguments": ';
export const CALL_CLOSE = '}\n</tool_call>';

/** What an assistant's earlier calls looked like in its own text. */
export function callsAsText(calls: readonly Pick<ToolCall, 'name' | 'arguments'>[]): string {
  return calls
    .map(({ name, arguments: json }) => `${CALL_OPEN}${CALL_NAME}${JSON.stringify(name)}${CALL_ARGUMENTS}${json}${CALL_CLOSE}`)
    .join('\n');
}

/** For models whose chat template knows nothing of tools: what the system message says about them. */
export function toolInstructions(tools: readonly ToolSpec[]): string {
  const list = tools.map(({ name, description, parameters }) => {
    const about = description === undefined ? '' : `"description": ${JSON.stringify(description)}, `;
    return `{"type": "function", "function": {"name": ${JSON.stringify(name)}, ${about}"parameters": ${parameters}}}`;
  });
  return [
    'You may call functions to answer. Their signatures:',
    '<tools>',
    ...list,
    '</tools>',
    'To call one, answer with its name and its arguments in this form, and nothing after it:',
    `${CALL_OPEN}${CALL_NAME}"name"${CALL_ARGUMENTS}{}${CALL_CLOSE}`,
  ].join('\n');
}
