import { sql } from 'kysely';

import { learn, newStanding } from '../standing-rules.ts';
import { storableText } from '../storable-text.ts';
import type { AnswerRow, FindingRow } from '../answer-verbs.ts';
import type { StandingRow } from '../store.ts';
import { lockStandingsOf, writeStandings } from './standings.ts';
import { type Database, inTransaction } from './transaction.ts';

/** Sorted, so that two writers of the same rows wait for each other instead of locking each other out. */
export async function recordAnswers(db: Database, answers: readonly AnswerRow[]): Promise<void> {
  const rows = [...answers].sort((a, b) => (a.id < b.id ? -1 : 1));
  await sql`
    insert into answers (id, tenant, model_name, device, public_key, statement, signature, at, finding)
    select * from unnest(
      ${rows.map((a) => a.id)}::text[],
      ${rows.map((a) => a.tenant)}::text[],
      ${rows.map((a) => storableText(a.modelName))}::text[],
      ${rows.map((a) => a.device)}::text[],
      ${rows.map((a) => a.publicKey)}::text[],
      ${rows.map((a) => a.statement)}::text[],
      ${rows.map((a) => a.signature)}::text[],
      ${rows.map((a) => a.at)}::bigint[],
      ${rows.map((a) => a.finding)}::text[]
    )
    on conflict (id) do nothing
  `.execute(db);
}

interface AnswerRecord extends Pick<AnswerRow, 'id' | 'tenant' | 'device' | 'statement' | 'signature' | 'finding'> {
  readonly model_name: string;
  readonly public_key: string;
  readonly at: number;
}

export async function findAnswer(db: Database, id: string): Promise<AnswerRow | null> {
  const { rows } = await sql<AnswerRecord>`
    select id, tenant, model_name, device, public_key, statement, signature, at, finding from answers where id = ${storableText(id)}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return null;
  const { model_name: modelName, public_key: publicKey, at, ...rest } = row;
  return { ...rest, modelName, publicKey, at };
}

export function recordFinding(
  db: Database,
  { answer, finding, lessons: { app, learned }, at }: FindingRow,
): Promise<readonly StandingRow[]> {
  return inTransaction(db, async (tx) => {
    const devices = [...new Set(learned.map(({ device }) => device))].sort();
    const standings = await lockStandingsOf(
      tx,
      devices.map((device) => newStanding(device, app, at)),
    );
    for (const lesson of learned) {
      const standing = standings.get(`${app} ${lesson.device}`);
      if (standing === undefined) throw new Error(`The standing of ${lesson.device} was not locked.`);
      learn(standing, lesson, at);
    }
    const taught = devices.flatMap((device) => standings.get(`${app} ${device}`) ?? []);
    await writeStandings(tx, taught);
    if (finding !== null) await sql`update answers set finding = ${finding} where id = ${answer}`.execute(tx);
    return taught;
  });
}
