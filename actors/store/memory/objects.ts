import type { ObjectRef } from '#actors/contract/primitives.ts';

import type { KeepingVerbs } from '../keeping.ts';
import { FINAL } from './jobs.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Objects = Pick<
  KeepingVerbs,
  'recordObjects' | 'adoptObjects' | 'unwantedObjects' | 'sweepObjects' | 'forgetCheckpoints' | 'takeSweep' | 'endSweep'
>;

function wanted(tables: Tables): ReadonlySet<string> {
  const all = new Set<string>();
  for (const { row, votes } of tables.jobs.values()) {
    for (const hash of JSON.stringify(row.spec).match(/[0-9a-f]{64}/g) ?? []) all.add(hash);
    for (const { output, bytes, refusal } of votes) if (bytes === null && refusal === null) all.add(output.sha256);
  }
  for (const checkpoint of tables.checkpoints.values())
    if (checkpoint !== null && isOpen(tables, checkpoint.job)) all.add(checkpoint.object.sha256);
  for (const { sha256, chunks } of tables.storedModels.values()) all.add(sha256).add(chunks);
  for (const file of tables.files.values()) if (file !== null) all.add(file.sha256);
  return all;
}

function isOpen(tables: Tables, job: string): boolean {
  const found = tables.jobs.get(job);
  return found !== undefined && !FINAL.has(found.row.state);
}

function sorted(objects: readonly ObjectRef[]): readonly ObjectRef[] {
  return [...new Map(objects.map((object) => [object.sha256, object])).values()].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
}

export function objectVerbs(connection: Connection, tables: Tables): Objects {
  function unwanted(before: number): ObjectRef[] {
    const keep = wanted(tables);
    return [...tables.objects]
      .filter(([sha256, row]) => row.recordedAt < before && !keep.has(sha256))
      .map(([sha256, { size }]) => ({ sha256, size }))
      .sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  }

  return {
    recordObjects: (objects, at) =>
      connection.transaction('recordObjects', async (tx) => {
        await tx.statement();
        for (const { sha256, size } of sorted(objects)) {
          await tx.lock('object', [sha256], 'update');
          const known = tables.objects.get(sha256);
          tx.put(tables.objects, sha256, { size: known?.size ?? size, recordedAt: Math.max(at, known?.recordedAt ?? at) });
        }
      }),
    adoptObjects: (objects, at) =>
      connection.transaction('adoptObjects', async (tx) => {
        await tx.statement();
        let adopted = 0;
        for (const { sha256, size } of sorted(objects)) {
          await tx.lock('object', [sha256], 'update');
          if (tables.objects.has(sha256)) continue;
          tx.put(tables.objects, sha256, { size, recordedAt: at });
          adopted += 1;
        }
        return adopted;
      }),
    unwantedObjects: (before) =>
      connection.read('unwantedObjects', () => {
        const found = unwanted(before);
        return { objects: found.length, bytes: found.reduce((sum, { size }) => sum + size, 0) };
      }),
    sweepObjects: ({ before, limit, only }, remove) =>
      connection.transaction('sweepObjects', async (tx) => {
        await tx.statement();
        const locked = new Set<string>();
        for (const { sha256 } of unwanted(before)) {
          if (locked.size === limit) break;
          if ((only?.includes(sha256) ?? true) && tx.tryLock('object', sha256, 'update')) locked.add(sha256);
        }
        await tx.statement();
        const gone = unwanted(before).filter(({ sha256 }) => locked.has(sha256));
        if (gone.length === 0) return [];
        await remove(gone);
        await tx.statement();
        for (const { sha256 } of gone) tx.remove(tables.objects, sha256);
        return gone;
      }),
    forgetCheckpoints: (dryRun) =>
      connection.transaction('forgetCheckpoints', async (tx) => {
        await tx.statement();
        let forgotten = 0;
        for (const [name, row] of tables.checkpoints) {
          if (row === null || isOpen(tables, row.job)) continue;
          forgotten += 1;
          if (dryRun) continue;
          await tx.lock('checkpoint', [name], 'update');
          tx.put(tables.checkpoints, name, null);
        }
        return forgotten;
      }),
    takeSweep: (holder, { at, until, early }) =>
      connection.transaction('takeSweep', async (tx) => {
        await tx.statement();
        await tx.lock('sweep', [1], 'update');
        const { sweep } = tables;
        if (sweep.holder !== holder && !((early || sweep.dueAt <= at) && sweep.heldUntil <= at)) return false;
        tx.set(sweep, { holder, heldUntil: until });
        return true;
      }),
    endSweep: (holder, dueAt) =>
      connection.transaction('endSweep', async (tx) => {
        await tx.statement();
        await tx.lock('sweep', [1], 'update');
        if (tables.sweep.holder === holder) tx.set(tables.sweep, { holder: null, heldUntil: 0, dueAt });
      }),
  };
}
