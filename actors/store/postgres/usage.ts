import { sql } from 'kysely';

import { storableText } from '../storable-text.ts';
import type { ModelRow, UsageQuery, UsageRow, UsageSum } from '../store.ts';
import type { Database } from './transaction.ts';

/** Sorted, so that two writers of the same rows wait for each other instead of locking each other out. */
export async function recordUsage(db: Database, usage: readonly UsageRow[]): Promise<void> {
  const rows = [...usage].sort((a, b) => (a.id < b.id ? -1 : 1));
  await sql`
    insert into usage (id, tenant, api_key, model, device, prompt_tokens, completion_tokens, outcome, at)
    select * from unnest(
      ${rows.map((u) => u.id)}::text[],
      ${rows.map((u) => u.tenant)}::text[],
      ${rows.map((u) => u.apiKey)}::text[],
      ${rows.map((u) => storableText(u.model))}::text[],
      ${rows.map((u) => u.device)}::text[],
      ${rows.map((u) => u.promptTokens)}::int[],
      ${rows.map((u) => u.completionTokens)}::int[],
      ${rows.map((u) => storableText(u.outcome))}::text[],
      ${rows.map((u) => u.at)}::bigint[]
    )
    on conflict (id) do nothing
  `.execute(db);
}

export async function usageSums(db: Database, { tenant, apiKey, from, to }: UsageQuery): Promise<readonly UsageSum[]> {
  const ofTenant = tenant === null ? sql`` : sql`and tenant = ${tenant}`;
  const ofKey = apiKey === null ? sql`` : sql`and api_key = ${apiKey}`;
  const { rows } = await sql<{ tenant: string; key: string; model: string; requests: string; prompt: string; completion: string }>`
    select tenant, api_key as key, model, count(*) as requests,
      sum(prompt_tokens) as prompt, sum(completion_tokens) as completion
    from usage
    where at >= ${from} and at < ${to} ${ofTenant} ${ofKey}
    group by tenant, api_key, model
    order by tenant collate "C", api_key collate "C", model collate "C"
  `.execute(db);
  return rows.map(({ tenant, key, model, requests, prompt, completion }) => ({
    tenant,
    apiKey: key,
    model,
    requests: Number(requests),
    promptTokens: Number(prompt),
    completionTokens: Number(completion),
  }));
}

export async function modelsFirstSeen(db: Database, models: readonly Pick<ModelRow, 'name' | 'sha256'>[]): Promise<readonly number[]> {
  const { rows } = await sql<{ at: string | null }>`
    select m.first_seen_at as at
    from unnest(${models.map((m) => storableText(m.name))}::text[], ${models.map((m) => m.sha256)}::text[])
      with ordinality as asked (name, sha256, n)
    left join models m on m.name = asked.name and m.sha256 = asked.sha256
    order by asked.n
  `.execute(db);
  return rows.map(({ at }) => Number(at ?? 0));
}
