import { z } from 'zod';

/** A batch, as OpenAI's API shows it. Times are seconds since 1970. */
const Time = z.number().int().nullable();
export const BatchObject = z.object({
  id: z.string(),
  object: z.literal('batch'),
  endpoint: z.string(),
  model: z.string().nullable(),
  errors: z
    .object({
      object: z.literal('list'),
      data: z.array(z.object({ code: z.string(), message: z.string(), param: z.string().nullable(), line: z.number().nullable() })),
    })
    .nullable(),
  input_file_id: z.string(),
  completion_window: z.string(),
  status: z.enum(['validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled']),
  output_file_id: z.string().nullable(),
  error_file_id: z.string().nullable(),
  created_at: z.number(),
  in_progress_at: Time,
  expires_at: Time,
  finalizing_at: Time,
  completed_at: Time,
  failed_at: Time,
  expired_at: Time,
  cancelling_at: Time,
  cancelled_at: Time,
  request_counts: z.object({ total: z.number(), completed: z.number(), failed: z.number() }),
  metadata: z.record(z.string(), z.string()).nullable(),
});
export type BatchObject = z.infer<typeof BatchObject>;

/** One line of the input. */
export const BatchLine = z.strictObject({
  custom_id: z.string().min(1).max(512),
  method: z.literal('POST'),
  url: z.string().max(200),
  body: z.record(z.string(), z.unknown()),
});
export type BatchLine = z.infer<typeof BatchLine>;

const MOST_LINES = 50_000;
const MOST_ERRORS = 100;

type LineError = NonNullable<BatchObject['errors']>['data'][number];

/** Reads the input, or says which lines are wrong: then none of them is run. */
export function readLines(text: string, endpoint: string): { lines: BatchLine[]; errors: LineError[] } {
  const lines: BatchLine[] = [];
  const errors: LineError[] = [];
  const seen = new Set<string>();
  const raw = text.split('\n').map((line) => line.trim());
  const say = (index: number, code: string, message: string, param: string | null = null): void => {
    if (errors.length < MOST_ERRORS) errors.push({ code, message, param, line: index + 1 });
  };
  for (const [index, line] of raw.entries()) {
    if (line === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      say(index, 'invalid_json_line', 'This line is not parseable as valid JSON.');
      continue;
    }
    const parsed = BatchLine.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      say(index, 'invalid_request', `This line is no request: ${issue?.message ?? ''}`, issue?.path.join('.') ?? null);
    } else if (parsed.data.url !== endpoint) {
      say(index, 'mismatched_endpoint', `This line is for '${parsed.data.url}', the batch for '${endpoint}'.`, 'url');
    } else if (parsed.data.body['stream'] === true) {
      say(index, 'invalid_request', 'A line of a batch cannot be streamed.', 'body.stream');
    } else if (seen.has(parsed.data.custom_id)) {
      say(index, 'duplicate_custom_id', `'${parsed.data.custom_id}' is the custom_id of another line too.`, 'custom_id');
    } else {
      seen.add(parsed.data.custom_id);
      lines.push(parsed.data);
    }
  }
  if (lines.length === 0 && errors.length === 0) say(0, 'empty_file', 'The input file has no lines.');
  if (lines.length > MOST_LINES) say(MOST_LINES, 'too_many_tasks', `A batch has at most ${MOST_LINES} lines.`);
  return { lines, errors };
}
