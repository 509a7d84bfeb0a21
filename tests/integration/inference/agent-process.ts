/**
 * Stands in for an agent that gets killed: `node agent-process.ts <model file>` loads the model, prints the pid of its host
 * once an endless answer has begun, and goes on until somebody ends it.
 */
import { randomUUID } from 'node:crypto';

import { createInferenceHost } from '#agent/executors/inference/inference-host.ts';
import { realHost } from '#runtime/host.ts';
import { logRecord } from '#tests/support/log-record.ts';

const [, , modelPath = ''] = process.argv;
const model = createInferenceHost({
  host: realHost(), modelPath, name: 'tiny', contextSize: 65_536, sequences: 1, threads: 1, log: logRecord(), onState() {},
}); // prettier-ignore
await model.load();
let announced = false;
const answer = model.generate(
  {
    generation: randomUUID(),
    request: {
      messages: [{ role: 'user', content: 'go on' }],
      sampling: { maxTokens: 1_000_000, temperature: 1, topP: 1, seed: 1, stop: [] },
    },
  },
  {
    tokens(_from, ids) {
      answer.credit(ids.length);
      if (!announced) process.stdout.write(`${model.pid}\n`);
      announced = true;
    },
    ended: ({ outcome }) => process.stderr.write(`the answer ended: ${outcome}\n`),
  },
);
