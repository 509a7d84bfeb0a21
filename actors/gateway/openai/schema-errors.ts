import type { z } from 'zod';

import { BadChatRequest } from './errors.ts';

/** Makes OpenAI's error out of what a schema found: which field, and in what way it is wrong. */

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** Fields of OpenAI's API that this grid knows of and does not serve. */
const NOT_SERVED = new Set([
  'audio', 'function_call', 'functions', 'modalities', 'moderation', 'name', 'prediction', 'prompt_cache_key', 'prompt_cache_retention', 'reasoning_effort',
  'refusal', 'safety_identifier', 'service_tier', 'verbosity', 'web_search_options', 'include_obfuscation', 'best_of', 'suffix', 'background', 'conversation',
  'previous_response_id', 'include', 'max_tool_calls', 'prompt', 'truncation', 'reasoning',
]); // prettier-ignore

/** `messages[0].content`; a key of the client's own making is cut to a sane length. */
function paramOf(path: Path): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part).slice(0, 100)}`))
    .join('');
}

function valueAt(body: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined),
    body,
  );
}

/** Of a union's branches the one that got furthest into the value: the one that was meant. */
function innermost(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const branches = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .map((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }));
  const deepest = branches.toSorted((a, b) => b.path.length - a.path.length)[0];
  return deepest === undefined || deepest.path.length === issue.path.length ? issue : deepest;
}

function unknownKey(path: Path, key: string): BadChatRequest {
  const param = paramOf([...path, key]);
  return NOT_SERVED.has(key)
    ? new BadChatRequest('unsupported_parameter', param, `Unsupported parameter: '${param}' is not supported by this grid yet.`)
    : new BadChatRequest('unknown_parameter', param, `Unknown parameter: '${param}'.`);
}

/** An enum's values as a sentence shows them. */
function choices(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(', ');
}

function describe(issue: Issue): string {
  if (issue.code === 'invalid_type') return `expected ${issue.expected}`;
  if (issue.code === 'invalid_value') return `supported: ${choices(issue.values)}`;
  if (issue.code === 'invalid_union')
    return issue.path.at(-1) === 'role' ? 'supported: "system", "developer", "user", "assistant", "tool"' : 'expected a string or a list';
  return issue.message;
}

/**
 * @param body the request, to tell what is missing from what is wrong
 * @param issues what the schema found; the first decides
 */
export function badChatRequest(body: unknown, issues: readonly Issue[]): BadChatRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return new BadChatRequest('invalid_type', '', 'The body of the request must be a JSON object.');
  }
  const issue = innermost(issues[0] as Issue); // a failed parse has at least one
  if (issue.code === 'unrecognized_keys') return unknownKey(issue.path, issue.keys[0] ?? '');
  const param = paramOf(issue.path);
  const value = valueAt(body, issue.path);
  if (value === undefined) return new BadChatRequest('missing_required_parameter', param, `Missing required parameter: '${param}'.`);
  const name = String(issue.path.at(-1));
  if (NOT_SERVED.has(name))
    return new BadChatRequest(
      'unsupported_value',
      param,
      `Unsupported value: '${param}' is not supported by this grid yet with that value; ${describe(issue)}.`,
    );
  const code = issue.code === 'invalid_type' ? 'invalid_type' : 'invalid_value';
  return new BadChatRequest(code, param, `Invalid ${code === 'invalid_type' ? 'type' : 'value'} for '${param}': ${describe(issue)}.`);
}
