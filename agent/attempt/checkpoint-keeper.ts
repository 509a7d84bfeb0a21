import { rm, stat } from 'node:fs/promises';

import type { CheckpointMessage } from '#actors/contract/agent-link.ts';
import type { Fence, ObjectRef, SignedRequest } from '#actors/contract/primitives.ts';
import { hashFile, uploadFile } from '#agent/bundle/fetch-object.ts';
import type { Transfer } from '#agent/bundle/transfer.ts';
import type { Settled } from '#runtime/kernel/actor.ts';

export interface KeeperOptions {
  readonly fence: Fence;
  readonly transfer: Transfer;
  readonly tell: (message: CheckpointMessage) => void;
  /** Runs work of the attempt's actor, and goes on in it. */
  readonly pipe: <T>(work: Promise<T>, then: (result: Settled<T>) => void) => void;
  readonly warn: (error: unknown) => void;
}

/** Brings checkpoints of one attempt to the grid. */
export interface CheckpointKeeper {
  made(checkpoint: { readonly file: string; readonly steps: number }): void;
  /** The grid's leave to store the one with this hash; null: it has it already. */
  upload(sha256: string, put: SignedRequest | null): void;
  /** A new session knows nothing of the last offer. */
  offerAgain(): void;
}

interface Offered {
  readonly file: string;
  readonly steps: number;
  readonly object: ObjectRef;
}

/**
 * made ──▶ offered ──▶ uploading ──▶ stored
 *
 * Only the newest is worth carrying: one that is made replaces what was offered before, and waits while one is on its way. A checkpoint
 * that cannot be stored is left: the attempt goes on, and the next one comes.
 */
export function createCheckpointKeeper({ fence, transfer, tell, pipe, warn }: KeeperOptions): CheckpointKeeper {
  let latest: { readonly file: string; readonly steps: number } | null = null;
  let offered: Offered | null = null;
  let busy = false;

  function next(): void {
    if (busy || latest === null) return;
    const { file, steps } = latest;
    latest = null;
    busy = true;
    if (offered !== null) forget(offered.file);
    offered = null;
    pipe(measure(file), (result) => {
      busy = false;
      if (!result.ok) return warn(result.error);
      offered = { file, steps, object: result.value };
      if (latest === null) offer();
      else next();
    });
  }

  function offer(): void {
    if (offered !== null) tell({ type: 'checkpoint', fence, event: 'offered', checkpoint: offered.object, steps: offered.steps });
  }

  function forget(file: string): void {
    pipe(rm(file, { force: true }), (result) => {
      if (!result.ok) warn(result.error);
    });
  }

  return {
    made(checkpoint) {
      if (latest !== null) forget(latest.file);
      latest = checkpoint;
      next();
    },
    upload(sha256, put) {
      if (offered === null || busy || offered.object.sha256 !== sha256) return;
      const { file, steps, object } = offered;
      offered = null;
      busy = true;
      pipe(put === null ? Promise.resolve() : uploadFile(file, put, transfer), (result) => {
        busy = false;
        forget(file);
        if (result.ok) tell({ type: 'checkpoint', fence, event: 'stored', checkpoint: object, steps });
        else warn(result.error);
        next();
      });
    },
    offerAgain: offer,
  };
}

async function measure(file: string): Promise<ObjectRef> {
  const { size } = await stat(file);
  return { sha256: await hashFile(file), size };
}
