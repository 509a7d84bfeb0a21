import { createTokenBatcher } from '#agent/executors/inference/token-batcher.ts';
import { TokenOutlet } from '#agent/models/token-outlet.ts';
import { realHost } from '#runtime/host.ts';

import { startScriptedAgent } from './scripted-agent.ts';

/**
 * A device for benchmarks: emits as many tokens as it is asked for at once, by the way of a real engine's tokens, or one every `top_k` milliseconds. Arguments:
 * the grid's address, an enrolment token, the model's name and how many generations it runs at once. Prints its device.
 */

const [, , url = '', token = '', model = 'fake', sequences = '4096'] = process.argv;
const host = realHost();
const agent = await startScriptedAgent({
  url,
  token,
  name: `engine of ${model}`,
  model,
  sequences: Number(sequences),
  contextSize: 1_000_000,
  script(asked) {
    if (asked.message.type !== 'generate') return asked.end({ outcome: 'failed', code: 'UNSUPPORTED' });
    const { maxTokens, topK: everyMs = 0 } = asked.message.sampling;
    if (everyMs === 0) {
      const { generation } = asked.message;
      const outlet = new TokenOutlet({
        generation,
        host,
        send(message, taken) {
          asked.tokens(message.tokens.map(() => 'word '));
          taken();
        },
        credit: () => {},
      });
      const batcher = createTokenBatcher(host, ({ from, ids, text }) => outlet.add(from, ids, text));
      for (let n = 0; n < maxTokens; n++) batcher.add(n, 'word ');
      batcher.flush();
      outlet.flush();
      return asked.end();
    }
    let sent = 0;
    const timer = setInterval(() => {
      if (asked.cancelled) return clearInterval(timer);
      asked.tokens(['word ']);
      sent += 1;
      if (sent < maxTokens) return undefined;
      clearInterval(timer);
      return asked.end();
    }, everyMs);
  },
});
process.stdout.write(`${agent.device}\n`);
process.once('disconnect', () => process.exit(0));
