import { availableParallelism, hostname, totalmem } from 'node:os';

import { Capabilities } from '#actors/contract/agent-link.ts';
import type { OfferedModel, OfferedUpstream } from '#agent/models/models.actor.ts';
import { GridError } from '#runtime/errors.ts';

/** What this machine says about itself. `slots` defaults to its cores; an agent that only serves models has none. */
export function readCapabilities(options: {
  version: string;
  slots: number | undefined;
  models: readonly (OfferedModel | OfferedUpstream)[];
  /** Takes model files from the grid. */
  takesModels: boolean;
  /** Generations at once per model. */
  sequences: number;
}): Capabilities {
  const cores = availableParallelism();
  const slots = options.slots ?? cores;
  const parsed = Capabilities.safeParse({
    agentVersion: options.version,
    hostname: hostname().slice(0, 120),
    os: process.platform,
    arch: process.arch,
    cores,
    memoryBytes: totalmem(),
    slots,
    kinds: [...(slots > 0 ? ['wasm'] : []), ...(options.takesModels || options.models.length > 0 ? ['inference'] : [])],
    gpus: [],
    models: options.models.map(({ name, file, contextSize }) => ({
      name,
      sha256: file.sha256,
      size: file.size,
      contextSize,
      sequences: options.sequences,
    })),
    sequences: options.sequences,
    features: ['generation-2', 'batches', 'checkpoints', 'drain', 'receipts'],
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new GridError('BAD_CONFIGURATION', `this machine cannot be an agent: ${issue?.path.join('.')}: ${issue?.message}`);
}
