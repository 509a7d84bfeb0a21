import type { z } from 'zod';

type Issue = z.core.$ZodIssue;

/** `shards.inputs[3].sha256`; empty for the value as a whole. */
function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${String(part)}`)).join('');
}

/** Of a union's branches the one that got furthest into the value: the one that was meant. */
function innermost(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const branches = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .map((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }));
  const deepest = branches.toSorted((a, b) => b.path.length - a.path.length)[0];
  return deepest === undefined || deepest.path.length === issue.path.length ? issue : deepest;
}

/** The first thing that is wrong with a value, for people: where it is, and what was expected there. */
export function explainIssues(error: z.ZodError): { path: string; message: string } {
  const [first] = error.issues;
  if (first === undefined) return { path: '', message: 'the value is not what was expected' };
  const issue = innermost(first);
  const path = pathOf(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return { path, message: `unknown field${issue.keys.length === 1 ? '' : 's'} ${issue.keys.join(', ')}` };
  }
  return { path, message: issue.message };
}
