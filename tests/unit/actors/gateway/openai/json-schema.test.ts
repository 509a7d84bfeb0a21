import { describe, expect, it } from 'vitest';

import { answerGrammar } from '#actors/gateway/openai/grammar/answer-grammar.ts';
import { jsonSchemaGrammar, UnsupportedSchema } from '#actors/gateway/openai/grammar/json-schema.ts';
import { ToolCallReader } from '#actors/gateway/openai/tool-calls.ts';

import { matches } from './gbnf-matcher.ts';

const PERSON = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 4 }, age: { type: 'integer', minimum: 0, maximum: 120 }, tags: { type: 'array', items: { enum: ['a', 1, null] }, maxItems: 2 } },
  required: ['name', 'age'],
  additionalProperties: false,
}; // prettier-ignore
const LIST = { $ref: '#/$defs/list', $defs: { list: { type: 'object', properties: { next: { anyOf: [{ $ref: '#/$defs/list' }, { type: 'null' }] } }, required: ['next'] } } }; // prettier-ignore

const words: [schema: unknown, good: string[], bad: string[]][] = [
  [PERSON, ['{"name":"Ann","age":7}', '{"name": "Ann", "age": 120, "tags":["a", 1]}', '{"name":"\\n\\"é😀","age":0,"tags":[]}'],
    ['{}', '{"name":"Annie","age":7}', '{"age":7,"name":"Ann"}', '{"name":"Ann","age":121}', '{"name":"Ann","age":7,"tags":["b"]}', '{"name":"Ann","age":7,"tags":[1,1,1]}', '{"name":"A\n","age":7}', '{"name":"Ann","age":7,}']],
  [LIST, ['{"next":null}', '{"next":{"next":{"next":null}}}'], ['{"next":{}}', '{"next":1}']],
  [{ type: 'object', properties: { a: { type: 'boolean' }, b: { const: 'x' }, c: { type: ['null', 'integer'] } } },
    ['{}', '{"a":true}', '{"b":"x"}', '{"c":null}', '{"a":false,"c":-12}', '{"b":"x","c":0}'], ['{"a":true,}', '{"c":1,"a":true}', '{,"b":"x"}']],
  [{ type: 'array', items: { type: 'number' }, minItems: 1 }, ['[1]', '[1, -2.5e3,0.1]'], ['[]', '[01]', '[1,]', '[.5]']],
  [{ type: 'object' }, ['{}', '{"a":[1,{"b":null}],"c":"d"}'], ['[]', '{a:1}']],
  [{ type: 'string', format: 'date' }, ['"2026-11-24"'], ['"2026-13-01"', '"soon"']],
  [{ allOf: [{ type: 'object', properties: { a: { type: 'null' } }, required: ['a'] }, { properties: { b: { type: 'null' } }, type: 'object' }] }, ['{"a":null}', '{"a":null,"b":null}'], ['{"b":null}']],
]; // prettier-ignore

describe('a JSON schema as a grammar', () => {
  it.each(words)('%j takes what fits and nothing else', (schema, good, bad) => {
    const grammar = jsonSchemaGrammar(schema);
    for (const word of good) expect(matches(grammar, word), word).toBe(true);
    for (const word of bad) expect(matches(grammar, word), word).toBe(false);
  });

  it.each([
    [{ type: 'string', pattern: '^a' }, 'pattern'],
    [{ type: 'object', properties: { a: { type: 'number', minimum: 0 } } }, 'properties.a.minimum'],
    [{ type: 'array', items: { type: 'string' }, uniqueItems: true }, 'uniqueItems'],
    [{ type: 'string', format: 'email' }, 'format'],
    [{ type: 'thing' }, 'type'],
    [{ type: 'integer', minimum: 0, maximum: 1e6 }, 'minimum'],
    [{ $ref: 'https://elsewhere/x' }, '$ref'],
    [{ $ref: '#/$defs/none' }, '$ref'],
    [{ type: 'object', properties: { a: {} }, required: ['b'] }, 'required'],
    [{ not: {} }, 'type'],
  ])('%j is refused by the name of what cannot be enforced', (schema, at) => {
    expect(() => jsonSchemaGrammar(schema)).toThrow(UnsupportedSchema);
    try {
      jsonSchemaGrammar(schema);
    } catch (error) {
      expect((error as UnsupportedSchema).at).toBe(at);
    }
  });
});

describe('the grammar of an answer with tools', () => {
  const tools = [{ name: 'add', parameters: '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}' }, { name: 'stop', parameters: '{"type":"object"}' }]; // prettier-ignore
  const add = '<tool_call>\n{"name": "add", "arguments": {"a":1}}\n</tool_call>';
  const stop = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>';
  const grammar = (choice: 'auto' | 'none' | 'required' | { name: string }, parallel = true) =>
    answerGrammar({ toolUse: { tools, choice, parallel } }) ?? '';

  it('forces calls, one or several, of one tool or all', () => {
    expect(matches(grammar('required'), add)).toBe(true);
    expect(matches(grammar('required'), `${add}\n${stop}`)).toBe(true);
    expect(matches(grammar('required', false), `${add}\n${stop}`)).toBe(false);
    expect(matches(grammar('required'), 'no')).toBe(false);
    expect(matches(grammar({ name: 'stop' }), stop)).toBe(true);
    expect(matches(grammar({ name: 'stop' }), add)).toBe(false);
    expect(matches(grammar('required'), add.replace('1', '"x"'))).toBe(false);
    expect(answerGrammar({ toolUse: { tools, choice: 'none', parallel: true } })).toBeUndefined();
  });

  it('leaves a model that may choose its text, up to the mark of a call', () => {
    for (const text of ['', 'plain', 'a < b <tool <tool_cal> <<tool_call', `text ${add}`, add, `a <t<${add}`])
      expect(matches(grammar('auto'), text), text).toBe(true);
    for (const text of ['<tool_call> no', `${add} and more`, 'a <<tool_call>{']) expect(matches(grammar('auto'), text), text).toBe(false);
  });

  it('is what the reader of calls reads, however the text is cut', () => {
    const text = `Let me see. <b>${add}\n${stop}`;
    for (let size = 1; size < 40; size++) {
      const reader = new ToolCallReader();
      const parts = (text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []).flatMap((piece) => reader.push(piece));
      parts.push(...reader.end());
      const content = parts.map((part) => (part.type === 'content' ? part.text : '')).join('');
      const calls = parts.filter((part) => part.type === 'call').map(({ name }) => name);
      const json = parts.map((part) => (part.type === 'arguments' ? `${part.index}${part.text}` : '')).join('').replaceAll(/(?<=.)0(?=[{"}:])/g, ''); // prettier-ignore
      expect({ content, calls, complete: reader.complete }).toEqual({ content: 'Let me see. <b>', calls: ['add', 'stop'], complete: 2 });
      expect(json).toContain('1{');
    }
  });

  it('keeps as text what only looks like a call, and what breaks off', () => {
    const broken = new ToolCallReader();
    const parts = [...broken.push('<tool_call>\nno JSON'), ...broken.end()];
    expect(parts.map((part) => (part.type === 'content' ? part.text : '')).join('')).toBe('<tool_call>\nno JSON');
    const cut = new ToolCallReader();
    expect(cut.push('<tool_call>\n{"name": "add", "arguments": {"a": "}').map(({ type }) => type)).toEqual(['call', 'arguments']);
    expect([cut.end(), cut.complete]).toEqual([[], 0]);
  });
});
