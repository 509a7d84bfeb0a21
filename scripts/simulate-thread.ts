import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';

import { mutate, type Mutation } from '#tests/simulation/mutation.ts';
import type { Tally, Task } from '#tests/simulation/run-seeds.ts';

/** A thread of `npm run simulate`: plays the seeds that it is told, with a defect in the source when it was started with one. */

const ROOT = path.dirname(import.meta.dirname);
// Only the thread that started this one sets it.
const mutation = workerData as Mutation | null;

if (mutation !== null) {
  const mutated = pathToFileURL(path.join(ROOT, mutation.file)).href;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (url !== mutated) return loaded;
      const source = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source);
      return { ...loaded, source: mutate(source, mutation) };
    },
  });
}

// After the hook: what is loaded now is what is played.
const { WORLDS } = await import('#tests/simulation/worlds/worlds.ts');

async function play({ worlds, from, to, keep }: Task): Promise<Tally> {
  const tally: Tally = { plays: 0, steps: 0, virtualMs: 0, told: [] };
  for (let seed = from; seed <= to; seed++) {
    for (const name of worlds) {
      const world = WORLDS[name];
      if (world === undefined) throw new Error(`there is no world '${name}'`);
      const { hash, steps, virtualMs, violations, recent } = await world(seed, { keep });
      tally.plays += 1;
      tally.steps += steps;
      tally.virtualMs += virtualMs;
      if (violations.length > 0 || keep > 0) tally.told.push({ world: name, seed, hash, violations, recent });
    }
  }
  return tally;
}

parentPort?.on('message', (task: Task) => {
  void play(task).then(
    (tally) => parentPort?.postMessage(tally),
    (error: unknown) => {
      // Out of this promise, so that it ends the thread and reaches whoever waits for it.
      setImmediate(() => {
        throw error;
      });
    },
  );
});
