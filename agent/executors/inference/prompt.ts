import { type ChatHistoryItem, type ChatWrapper, LlamaText, type LlamaModel, resolveChatWrapper, type Token } from 'node-llama-cpp';

import type { ChatMessage, ToolUse } from '#actors/contract/generation.ts';
import { callsAsText, toolInstructions } from '#actors/contract/tool-text.ts';

/** Messages in, tokens out, by the chat template that the model brought with it. */
export interface ChatTemplate {
  /**
   * A message of the assistant at the end is continued; otherwise a new one begins. What a message says is always plain text:
   * a person who writes a control token's name gets its letters.
   *
   * @throws whatever the template raises about the messages
   */
  prompt(messages: readonly ChatMessage[], toolUse?: ToolUse): Token[];
  /** Tokens that end the assistant's message, besides those that the model itself marks. */
  readonly stopTokens: ReadonlySet<number>;
  /** The same for texts that are no single token in this model. */
  readonly stopTexts: readonly string[];
}

function historyOf(messages: readonly ChatMessage[]): ChatHistoryItem[] {
  const history = messages.map((message): ChatHistoryItem => {
    const { role, content } = message;
    // What the models that call in this form were trained on: results come as a user's words.
    if (role === 'tool') return { type: 'user', text: `<tool_response>\n${content}\n</tool_response>` };
    if (role === 'assistant') return { type: 'model', response: [assistantText(message)] };
    return { type: role, text: content };
  });
  if (messages.at(-1)?.role !== 'assistant') history.push({ type: 'model', response: [] });
  return history;
}

function assistantText({ content, toolCalls = [] }: ChatMessage): string {
  const calls = callsAsText(toolCalls);
  return content === '' || calls === '' ? content + calls : `${content}\n${calls}`;
}

/** Says which functions there are, in front of everything else. */
function withTools(messages: readonly ChatMessage[], toolUse: ToolUse | undefined): readonly ChatMessage[] {
  if (toolUse === undefined || toolUse.choice === 'none') return messages;
  const instructions = toolInstructions(toolUse.tools);
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: instructions }, ...messages];
  return [{ ...first, content: `${first.content}\n\n${instructions}` }, ...rest];
}

function stopsOf(model: LlamaModel, wrapper: ChatWrapper): Pick<ChatTemplate, 'stopTokens' | 'stopTexts'> {
  const { stopGenerationTriggers } = wrapper.generateContextState({ chatHistory: historyOf([{ role: 'user', content: 'a' }]) });
  const stopTokens = new Set<number>();
  const stopTexts: string[] = [];
  for (const trigger of stopGenerationTriggers) {
    const text = LlamaText(trigger).toString();
    const tokens = trigger.tokenize(model.tokenizer);
    const asSpecial = model.tokenize(text, true);
    const [token] = tokens.length === 1 ? tokens : asSpecial;
    if (token !== undefined && (tokens.length === 1 || asSpecial.length === 1) && model.isSpecialToken(token)) stopTokens.add(token);
    else if (text !== '') stopTexts.push(text);
  }
  return { stopTokens, stopTexts };
}

/** @throws Error when the model has no chat template, or one that does not work */
export function createChatTemplate(model: LlamaModel): ChatTemplate {
  // The library would guess a format by the model's name; an answer to a wrongly written prompt looks right and is not.
  if ((model.fileInfo.metadata.tokenizer?.chat_template ?? '').trim() === '') throw new Error('the model file has no chat template');
  const wrapper = resolveChatWrapper(model, { fallbackToOtherWrappersOnJinjaError: false, warningLogs: false });
  if (wrapper === null) throw new Error('the chat template of the model file is of no kind that the engine knows');
  return {
    prompt: (messages, toolUse) =>
      wrapper.generateContextState({ chatHistory: historyOf(withTools(messages, toolUse)) }).contextText.tokenize(model.tokenizer),
    ...stopsOf(model, wrapper),
  };
}
