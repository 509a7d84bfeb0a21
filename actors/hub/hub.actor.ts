import { createReadStream } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';

import type { PullModel, PullReport } from '#actors/contract/models.ts';
import type { ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import { deleteAll } from '#actors/keeper/sweep.ts';
import type { Services } from '#actors/services.ts';
import type { StoredModelRow } from '#actors/store/store.ts';
import { keepBytes, wantObject } from '#actors/want-object.ts';
import { refuseWhileAway } from '#runtime/database/connection-errors.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { ObjectRef } from '#runtime/objects/objects.ts';

import { download, forget } from './download.ts';
import { HubProtocol } from './hub.protocol.ts';
import { inspectStoredModel } from './inspect-object.ts';
import { parseModelSource } from './model-source.ts';

export interface HubArgs {
  readonly services: Services;
  readonly host: Host;
  /** Downloads grow here. */
  readonly folder: string;
  /** Address of the model hub that `hf:` stands for. */
  readonly hubUrl: string | undefined;
  readonly randomId: () => string;
  readonly models: () => ModelsRef;
}

/** The last pulls that are over stay to be read. */
const KEPT = 50;
/** Downloads leave this much of the disk to the others: the grid's database lies there too. */
const DISK_RESERVE_BYTES = 2 * 1024 ** 3;
/** A file lies on the disk twice while it moves from the download to the object store. */
const COPIES = 2;

/**
 * A pull is downloading → checking → done, or failed. A failed one keeps what it received: the next pull of the same source goes
 * on there. Nothing is known by name before its every byte is in the object store and its header was read.
 */
export const hubActor = defineActor({
  protocol: HubProtocol,
  start(context, { services, host, folder, hubUrl, randomId, models }: HubArgs) {
    const { store, objects, log } = services;
    const pulls = new Map<string, PullReport>();
    const stopping = new AbortController();
    context.onStop(() => stopping.abort(new Error('the coordinator stops')));

    function update(id: string, change: Partial<PullReport>): PullReport {
      const known = pulls.get(id);
      if (known === undefined) throw new Error(`there is no pull ${id}`);
      const next = { ...known, ...change };
      pulls.set(id, next);
      return next;
    }

    function trim(): void {
      const over = [...pulls.values()].filter((p) => p.state === 'done' || p.state === 'failed');
      for (const { id } of over.slice(0, Math.max(0, over.length - KEPT))) pulls.delete(id);
    }

    async function fetchModel(id: string, { source, name, sha256 }: PullModel & { name: string }): Promise<StoredModelRow> {
      const { url } = parseModelSource(source, hubUrl);
      // By its name and not by the pull's id, so that a later pull finds what this one left.
      const part = path.join(folder, `${encodeURIComponent(name)}.part`);
      const file = await download({
        url,
        part,
        sha256,
        maxBytes: await freeBytes(folder),
        signal: stopping.signal,
        after: (ms, run) => host.scheduler.after(ms, run),
        random: () => host.random(),
        onProgress: (received, size) => void update(id, { received, size }),
      });
      update(id, { state: 'checking' });
      await store.recordObjects([file], context.clock.wall());
      await objects.put(createReadStream(part, { highWaterMark: 1024 * 1024 }), file);
      const row = await keep(name, file, source);
      await forget(part);
      return row;
    }

    async function keep(name: string, file: ObjectRef, source: string): Promise<StoredModelRow> {
      const { header, chunks } = await inspectStoredModel(objects, file);
      const hashes = await keepBytes(services, chunks, context.clock.wall());
      const row = { name, ...file, chunks: hashes.sha256, header, source, createdAt: context.clock.wall() };
      if (!(await refuseWhileAway(() => store.storeModel(row)))) throw taken(name);
      models().stored(row);
      log.info({ model: name, bytes: file.size, source }, 'model stored');
      return row;
    }

    return {
      async pull(wanted) {
        const { source, name: given } = wanted;
        const name = given ?? parseModelSource(source, hubUrl).name;
        const running = [...pulls.values()].find((p) => p.name === name && (p.state === 'downloading' || p.state === 'checking'));
        if (running !== undefined) {
          if (running.source === source) return running;
          throw new GridError('CONFLICT', `another source is being pulled as ${name}`, { path: 'name', fix: 'give another name' });
        }
        parseModelSource(source, hubUrl);
        const known = (await refuseWhileAway(() => store.listStoredModels())).find((m) => m.name === name);
        if (known !== undefined && (wanted.sha256 ?? known.sha256) !== known.sha256) throw taken(name);
        const id = randomId();
        const size = known?.size ?? null;
        const state = known === undefined ? 'downloading' : 'done';
        const report: PullReport = { id, source, name, state, received: size ?? 0, size, reason: null, fix: null };
        pulls.set(id, report);
        trim();
        if (known !== undefined) return report;
        context.pipe(fetchModel(id, { ...wanted, name }), (result) => {
          if (result.ok) update(id, { state: 'done', received: result.value.size, size: result.value.size });
          else fail(id, result.error);
        });
        return report;
      },
      pulls: () => [...pulls.values()],
      async add({ name, file }) {
        const stored = await refuseWhileAway(() => wantObject(services, file, context.clock.wall()));
        if (stored === null) throw new GridError('OBJECT_MISSING', `object ${file.sha256} is not in the store`, { path: 'file' });
        return keep(name, stored, 'an uploaded file');
      },
      async remove(name) {
        const row = await refuseWhileAway(() => store.removeStoredModel(name));
        if (row === null) return false;
        models().removed(name);
        // At once, for people who need the room; what somebody has wanted since is left to the sweep.
        const what = { before: row.createdAt + 1, limit: 2, only: [row.sha256, row.chunks] };
        await refuseWhileAway(() => store.sweepObjects(what, (gone) => deleteAll(objects, gone)));
        return true;
      },
    };

    function fail(id: string, error: unknown): void {
      log.warn({ pull: id, error }, 'a model could not be pulled');
      const listed = error instanceof GridError ? error : null;
      const reason = Refusal.is(error) ? error.message : 'the file could not be kept; the coordinator’s log says why';
      update(id, { state: 'failed', reason, fix: listed?.fix ?? null });
      trim();
    }
  },
});

function taken(name: string): GridError {
  return new GridError('CONFLICT', `the name ${name} stands for another file`, {
    path: 'name',
    fix: `give another name, or delete the old model with \`corpgrid models rm ${name}\``,
  });
}

async function freeBytes(folder: string): Promise<number> {
  // The folder is made by the first download; its parent is there.
  const { bavail, bsize } = await statfs(path.dirname(folder));
  return Math.max(0, Math.floor((bavail * bsize - DISK_RESERVE_BYTES) / COPIES));
}
