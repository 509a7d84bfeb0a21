import { z } from 'zod';

import { DeviceId, ObjectRef, Sha256 } from './primitives.ts';

/** Models as people see and order them: what `/api/models` takes and answers. */

/** Names a model in addresses and requests. */
export const ModelName = z.string().regex(/^[\w.:@-]{1,120}$/, 'letters, digits and . : @ _ - only, at most 120');

export const PullModel = z.strictObject({
  /** `hf:OWNER/REPOSITORY/FILE.gguf[@REVISION]` or an http(s) address. */
  source: z.string().min(1).max(2_000),
  name: ModelName.optional(),
  sha256: Sha256.optional(),
});
export type PullModel = z.infer<typeof PullModel>;

/** A file that was uploaded to the object store before. */
export const AddModel = z.strictObject({ name: ModelName, file: ObjectRef });
export type AddModel = z.infer<typeof AddModel>;

export const LoadModel = z.strictObject({ device: DeviceId.optional() });

/** What a model file's header says. */
export interface ModelFacts {
  readonly architecture: string;
  readonly contextLength: number | null;
  readonly vocabularySize: number;
  readonly hasChatTemplate: boolean;
  readonly weightBytes: number;
}

export interface PullReport {
  readonly id: string;
  readonly source: string;
  readonly name: string;
  readonly state: 'downloading' | 'checking' | 'done' | 'failed';
  readonly received: number;
  /** Null until the server said it. */
  readonly size: number | null;
  readonly reason: string | null;
  readonly fix: string | null;
}

export interface ModelReport {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
  /** True when the grid has the file and can bring it to devices. */
  readonly stored: boolean;
  readonly source: string | null;
  readonly createdAt: number | null;
  readonly facts: ModelFacts | null;
  /** Estimate of memory once loaded with the usual context and number of generations; null without facts. */
  readonly needsBytes: number | null;
  /** Connected devices that have the memory, by name. */
  readonly fitsOn: readonly string[];
  readonly replicas: readonly { readonly device: string; readonly state: string; readonly memoryBytes: number; readonly active: number }[];
}
