import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

import { call } from '#tests/integration/doors/visitors.ts';

import { BABBLER, startConformanceGrid, type ConformanceGrid } from './conformance-grid.ts';

/**
 * Answers that have to have a form have it, from a model of random weights, every one of them. The whole campaign of 1,000 each:
 * `CORPGRID_CAMPAIGN=1000 npx vitest run --project integration tests/conformance/forced-answers.test.ts`.
 */
const ANSWERS = Number(process.env['CORPGRID_CAMPAIGN'] ?? 40);
const AT_ONCE = 4;

const SCHEMAS = [
  z.strictObject({ name: z.string().max(8), age: z.int().min(0).max(150) }),
  z.strictObject({ kind: z.enum(['a', 'b\n"c"']), flag: z.boolean(), nothing: z.null() }),
  z.strictObject({
    list: z.array(z.int().min(-5).max(5)).min(1).max(3),
    pair: z.strictObject({ x: z.literal(7), y: z.string().max(4).optional() }),
  }),
  z.strictObject({ either: z.union([z.strictObject({ a: z.boolean() }), z.array(z.enum(['p', 'q'])).max(2)]) }),
  z.strictObject({ ratio: z.number(), date: z.string().max(6).nullable() }),
] as const;

let under: ConformanceGrid;
beforeAll(async () => {
  under = await startConformanceGrid();
});
afterAll(() => under.end());

interface Choice {
  readonly finish_reason: string;
  readonly message: { readonly content: string | null; readonly tool_calls?: { function: { name: string; arguments: string } }[] };
}

async function answer(seed: number, shape: object): Promise<Choice> {
  const body = { model: BABBLER, messages: [{ role: 'user', content: 'hi' }], seed, max_tokens: 1_500, ...shape };
  const { status, body: answered } = await call(under.grid.url, 'POST', '/v1/chat/completions', { key: under.key, body });
  expect(status, JSON.stringify(answered)).toBe(200);
  return (answered['choices'] as Choice[])[0] as Choice; // one choice was asked for
}

/** Runs `check` for as many seeds as the campaign has, some at once. Answers what was not valid. */
async function campaign(check: (seed: number) => Promise<string | null>): Promise<string[]> {
  const seeds = Array.from({ length: ANSWERS }, (_, at) => at + 1).values();
  const invalid: string[] = [];
  const worker = async (): Promise<void> => {
    for (const seed of seeds) {
      const why = await check(seed);
      if (why !== null) invalid.push(`seed ${seed}: ${why}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return invalid;
}

const schemaAt = (seed: number): (typeof SCHEMAS)[number] => SCHEMAS[seed % SCHEMAS.length] ?? SCHEMAS[0];

it(`${ANSWERS} of ${ANSWERS} answers follow their schema`, { timeout: 20_000 + ANSWERS * 2_000 }, async () => {
  const invalid = await campaign(async (seed) => {
    const schema = schemaAt(seed);
    const format = { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: z.toJSONSchema(schema) } };
    const { finish_reason: finish, message } = await answer(seed, { response_format: format });
    const valid = finish === 'stop' && schema.safeParse(JSON.parse(message.content ?? '')).success;
    return valid ? null : `${finish} ${message.content}`;
  });
  expect(invalid).toEqual([]);
});

it(`${ANSWERS} of ${ANSWERS} forced calls name their function and follow its schema`, { timeout: 20_000 + ANSWERS * 2_000 }, async () => {
  const tools = SCHEMAS.map((schema, at) => ({ type: 'function', function: { name: `f${at}`, parameters: z.toJSONSchema(schema) } }));
  const invalid = await campaign(async (seed) => {
    const wanted = `f${seed % SCHEMAS.length}`;
    const named = seed % 2 === 0;
    const choice = named ? { type: 'function', function: { name: wanted } } : 'required';
    const { finish_reason: finish, message } = await answer(seed, { tools, tool_choice: choice, parallel_tool_calls: false });
    const [made, ...more] = message.tool_calls ?? [];
    const shown = `${finish} ${JSON.stringify(message)}`;
    if (finish !== 'tool_calls' || made === undefined || more.length > 0 || message.content !== null) return shown;
    const { name } = made.function;
    const schema = SCHEMAS[Number(name.slice(1))];
    const valid = (!named || name === wanted) && schema?.safeParse(JSON.parse(made.function.arguments)).success === true;
    return valid ? null : shown;
  });
  expect(invalid).toEqual([]);
});
