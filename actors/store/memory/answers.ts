import { learn, newStanding } from '../standing-rules.ts';
import { storableText } from '../storable-text.ts';
import type { StandingRow, Store } from '../store.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

export function answerVerbs(connection: Connection, tables: Tables): Pick<Store, 'recordAnswers' | 'findAnswer' | 'recordFinding'> {
  return {
    recordAnswers: (answers) =>
      connection.transaction('recordAnswers', async (tx) => {
        await tx.statement();
        const rows = [...answers].sort((a, b) => (a.id < b.id ? -1 : 1));
        for (const { id } of rows) await tx.lock('answer', [id], 'update');
        for (const row of rows)
          if (!tables.answers.has(row.id)) tx.put(tables.answers, row.id, { ...row, modelName: storableText(row.modelName) });
      }),
    findAnswer: (id) => connection.read('findAnswer', () => tables.answers.get(id) ?? null),
    recordFinding: ({ answer, finding, lessons: { app, learned }, at }) =>
      connection.transaction('recordFinding', async (tx) => {
        await tx.statement();
        const devices = [...new Set(learned.map(({ device }) => device))].sort();
        const names = devices.map((device) => `${app} ${device}`);
        if (names.length > 0) await tx.lock('standing', names, 'no key update');
        const standings: StandingRow[] = [];
        for (const device of devices) {
          const name = `${app} ${device}`;
          const known = tables.standings.get(name);
          const standing = known === undefined ? newStanding(device, app, at) : { ...known };
          for (const lesson of learned) if (lesson.device === device) learn(standing, lesson, at);
          if (known === undefined) tx.put(tables.standings, name, standing);
          else tx.set(known, standing);
          standings.push({ ...standing });
        }
        if (finding === null) return standings;
        await tx.statement();
        await tx.lock('answer', [answer], 'update');
        const row = tables.answers.get(answer);
        if (row !== undefined) tx.put(tables.answers, answer, { ...row, finding });
        return standings;
      }),
  };
}
