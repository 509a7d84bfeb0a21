import { fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync, closeSync } from 'node:fs';

import type { AttemptRequest, CheckpointLine, CheckpointOrder } from './attempt-protocol.ts';
import { CheckpointRefused, mostCheckpointBytes, PAGE, readCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
import type { fileSink, fileSource } from './standard-streams.ts';
import type { WasiRun } from './wasi.ts';

const LINES = 1;

export type Checkpoints = WasiRun;

interface Streams {
  readonly stdin: ReturnType<typeof fileSource>;
  readonly stdout: ReturnType<typeof fileSink>;
  /** Descriptor of the output's file. */
  readonly output: number;
  /** Shared with another thread: 1 when one is wanted before its time. */
  readonly wanted: Int32Array<SharedArrayBuffer>;
}

/**
 * Makes checkpoints between the steps of a run, whenever it is time, and begins it from one when it is told to.
 *
 * @throws CheckpointRefused when the one to begin from is no good; nothing was written then
 */
export function checkpointsOf(request: AttemptRequest, order: CheckpointOrder, streams: Streams): Checkpoints {
  const { stdin, stdout, output, wanted } = streams;
  let made = 0;
  let last = performance.now();
  const between: WasiRun['between'] = ({ steps, memory, save, nanoseconds, random }) => {
    if (save === null || (performance.now() - last < order.everyMs && Atomics.load(wanted, 0) === 0)) return;
    Atomics.store(wanted, 0, 0);
    save();
    stdout.flush();
    const state = { steps, inputRead: stdin.position(), nanoseconds, random };
    const bytes = writeCheckpoint(order, { ...state, memory: new Uint8Array(memory.buffer), output: readAll(output) });
    made += 1;
    // The folder is ours and empty: a name that is taken is a defect.
    writeFileSync(`${order.folder}/${made}`, bytes, { flag: 'wx', mode: 0o600 });
    writeSync(LINES, `${JSON.stringify({ checkpoint: made, steps } satisfies CheckpointLine)}\n`);
    last = performance.now();
  };
  if (order.from === undefined) return { between };

  const { pages, stored, ...from } = readCheckpoint(readBounded(order.from, mostCheckpointBytes(request)), order, request);
  stdin.seek(from.inputRead);
  stdout.write(from.output);
  return {
    between,
    from: {
      ...from,
      fill(memory) {
        const more = pages - memory.buffer.byteLength / PAGE;
        if (more < 0) throw new CheckpointRefused('its memory is smaller than the module begins with');
        try {
          memory.grow(more);
        } catch {
          throw new CheckpointRefused('its memory is larger than the module may have');
        }
        const all = new Uint8Array(memory.buffer);
        all.fill(0);
        for (const [page, bytes] of stored) all.set(bytes, page * PAGE);
      },
    },
  };
}

function readBounded(file: string, most: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    if (fstatSync(descriptor).size > most) throw new CheckpointRefused('it is larger than the limits of the job');
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readAll(descriptor: number): Uint8Array {
  const bytes = new Uint8Array(fstatSync(descriptor).size);
  for (let at = 0; at < bytes.length;) {
    const count = readSync(descriptor, bytes, at, bytes.length - at, at);
    if (count === 0) throw new Error('the output became shorter');
    at += count;
  }
  return bytes;
}
