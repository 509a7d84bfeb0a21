import { AnswerReceipt, answerBytes, answerManifestBytes, textDigestOf } from './answer-receipt.ts';
import type { ReceiptChecks, ReceiptVerdict } from './receipt.ts';

/** What is known of the answer besides its receipt. */
export interface AnswerInHand {
  /** The whole text, as the client got it. */
  readonly text?: string;
}

type Check = ReceiptVerdict['checks'][number];

/** Whether a document says of itself that it is the receipt of an answer. */
export function isAnswerReceipt(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'kind' in document && document.kind === 'answer';
}

/**
 * Checks the receipt of an answer against nothing but itself, the answer's text when it is there, and the grid's key when it is
 * pinned. Needs no network. Never throws on hostile input.
 */
export function verifyAnswerReceipt(receipt: unknown, tools: ReceiptChecks, { text }: AnswerInHand = {}): ReceiptVerdict {
  const parsed = AnswerReceipt.safeParse(receipt);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const detail = `${issue?.path.join('.') || 'receipt'}: ${issue?.message ?? 'wrong form'}`;
    return { ok: false, checks: [{ name: 'schema', ok: false, detail }], warnings: [] };
  }
  const { data } = parsed;
  const { manifest, statement } = data;
  const checks: Check[] = [{ name: 'schema', ok: true, detail: 'receipt of an answer, version 1' }];
  const check = (name: Check['name'], ok: boolean, yes: string, no: string): number => checks.push({ name, ok, detail: ok ? yes : no });

  check(
    'manifest-signature',
    tools.verify(data.manifestSignature, answerManifestBytes(manifest, data), manifest.gridKey),
    `signed by grid key ${manifest.gridKey}`,
    `not signed by grid key ${manifest.gridKey}`,
  );
  if (tools.gridKey !== undefined) {
    check(
      'grid-key',
      manifest.gridKey === tools.gridKey,
      'it is the pinned grid key',
      `signed with ${manifest.gridKey}, but the pinned grid key is ${tools.gridKey}`,
    );
  }
  check(
    'answer-signature',
    tools.verify(data.signature, answerBytes(statement), manifest.publicKey),
    `device ${statement.device} signed this answer`,
    `wrong signature of ${statement.device}`,
  );
  if (text !== undefined) {
    check(
      'answer-text',
      textDigestOf(text.slice(statement.textFrom), tools.sha256) === statement.text,
      'the text is the one that was signed',
      'the text is not the one that was signed',
    );
  }
  const { audit } = manifest;
  if (audit !== null && (audit.verdict === 'right' || audit.verdict === 'wrong'))
    check('audit', audit.verdict === 'right', audit.why, audit.why);
  return { ok: checks.every(({ ok }) => ok), checks, warnings: warningsFor(data, tools, text) };
}

function warningsFor({ manifest, statement }: AnswerReceipt, { gridKey }: ReceiptChecks, text: string | undefined): string[] {
  const warnings: string[] = [];
  const { audit } = manifest;
  if (audit === null) warnings.push('unaudited: one device computed this and nobody computed it again');
  else if (audit.verdict === 'disputed' || audit.verdict === 'impossible') warnings.push(audit.why);
  if (text === undefined) warnings.push('the text of the answer was not given: only that something was signed is proven');
  if (statement.textFrom > 0)
    warnings.push(`the answer began on another device: the first ${statement.textFrom} characters of its text are not covered`);
  if (gridKey === undefined) warnings.push(`the grid's key was not pinned: compare ${manifest.gridKey} with what your grid says`);
  return warnings;
}
