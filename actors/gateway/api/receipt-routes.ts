import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { answerManifestBytes, AnswerStatement, AuditFinding, type AnswerReceipt } from '#actors/contract/answer-receipt.ts';
import type { AnswerRow } from '#actors/store/answer-verbs.ts';
import { GridError } from '#runtime/errors.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';

import { authenticate, bearerOf, parse, tenantScope } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ASK = { timeoutMs: 10_000 };
/** What `x-corpgrid-receipt` says, or the id of a completion. */
const ById = z.object({ id: z.string().regex(/^[a-z]{0,10}-?[0-9a-f-]{36}$/, 'expected the name of an answer') });
const UUID_LENGTH = 36;

/** What devices signed about their answers. */
export function receiptRoutes(app: FastifyInstance, { tenants, services, answers }: GatewayArgs): void {
  app.get('/api/receipts/:id', async (request): Promise<AnswerReceipt> => {
    const by = await authenticate(tenants, bearerOf(request));
    const id = parse(ById, request.params).id.slice(-UUID_LENGTH);
    await answers.flush(undefined, ASK);
    const row = await services.store.findAnswer(id);
    const scope = tenantScope(by);
    // Whose it is must not show to others.
    if (row === null || (scope !== null && row.tenant !== scope)) {
      throw new GridError('NOT_FOUND', `there is no receipt of an answer ${id}`, {
        fix: 'answers of engines that do not tell their tokens are not signed; others are when they ended by themselves',
      });
    }
    return receiptOf(row, services.key);
  });
}

function receiptOf(row: AnswerRow, key: KeyPair): AnswerReceipt {
  const signed = { statement: AnswerStatement.parse(JSON.parse(row.statement)), signature: row.signature };
  const manifest = {
    version: 1,
    answer: row.id,
    modelName: row.modelName,
    tenant: row.tenant,
    publicKey: row.publicKey,
    at: row.at,
    audit: row.finding === null ? null : AuditFinding.parse(JSON.parse(row.finding)),
    gridKey: key.publicKey,
  } as const;
  const manifestSignature = Buffer.from(key.sign(answerManifestBytes(manifest, signed))).toString('hex');
  return { kind: 'answer', ...signed, manifest, manifestSignature };
}
