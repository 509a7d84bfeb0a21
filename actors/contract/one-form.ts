import { z } from 'zod';

/**
 * An object that takes one of several forms, each known by the field that only it has. What is wrong is said of the form that
 * was meant, and `error` when there is none, or more than one.
 */
export function oneForm<Forms extends Readonly<Record<string, z.ZodType>>>(
  forms: Forms,
  error: string,
): z.ZodType<z.output<Forms[keyof Forms]>> {
  return z.unknown().transform((value, context): z.output<Forms[keyof Forms]> => {
    const fields = typeof value === 'object' && value !== null ? Object.keys(value) : [];
    const [name, ...others] = Object.keys(forms).filter((form) => fields.includes(form));
    const form = name === undefined || others.length > 0 ? undefined : forms[name];
    if (form === undefined) {
      context.addIssue({ code: 'custom', message: error });
      return z.NEVER;
    }
    const result = form.safeParse(value);
    // The form was looked up by a name of `forms`.
    if (result.success) return result.data as z.output<Forms[keyof Forms]>;
    for (const issue of result.error.issues) context.issues.push({ ...issue, path: [...issue.path], input: value } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
}
