import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';

import type { Store } from '#actors/store/store.ts';
import type { Clock } from '#runtime/kernel/host.ts';
import { openDiskObjects } from '#runtime/objects/disk-objects.ts';
import type { Objects } from '#runtime/objects/objects.ts';
import { openS3Objects } from '#runtime/objects/s3-objects.ts';
import type { S3Settings } from '#runtime/objects/s3-settings.ts';
import type { Log } from '#runtime/observe/log.ts';

export interface ObjectsChoice {
  /** Null: files below the data folder, served by this coordinator. Several coordinators need one S3. */
  readonly s3: S3Settings | null;
  readonly dataFolder: string;
  readonly store: Pick<Store, 'clusterSecret'>;
  /** Bytes of the largest object. */
  readonly maxSize: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OpenedObjects {
  readonly objects: Objects;
  /** Answers requests for `/objects/...`, by which files of this coordinator are read and written. S3 answers its own. */
  readonly serve: ((request: IncomingMessage, response: ServerResponse) => Promise<void>) | undefined;
  readonly close: () => void;
}

/** The object store of this grid. @throws GridError when S3 is not what its settings say */
export async function openObjects({ s3, dataFolder, store, maxSize, clock, log }: ObjectsChoice): Promise<OpenedObjects> {
  if (s3 !== null) {
    const objects = await openS3Objects({ settings: s3, clock, maxSize });
    return { objects, serve: undefined, close: () => objects.close() };
  }
  const objects = await openDiskObjects({
    folder: path.join(dataFolder, 'objects'),
    maxSize,
    secret: await store.clusterSecret(),
    // Relative: every client and agent knows the address by which it reaches this coordinator.
    baseUrl: () => '',
    clock,
    onDefect: (error) => log.error({ error }, 'object store'),
  });
  return { objects, serve: (request, response) => objects.handle(request, response), close: () => undefined };
}
