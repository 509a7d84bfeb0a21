import { startScriptedAgent } from './scripted-agent.ts';

/**
 * A device for benchmarks: emits as many tokens as it is asked for at once, one message each, or one every `top_k` milliseconds. Arguments:
 * the grid's address and an enrolment token. Prints its device.
 */

const [, , url = '', token = ''] = process.argv;
const agent = await startScriptedAgent({
  url,
  token,
  name: 'fake-engine',
  model: 'fake',
  sequences: 4_096,
  contextSize: 1_000_000,
  script(asked) {
    if (asked.message.type !== 'generate') return asked.end({ outcome: 'failed', code: 'UNSUPPORTED' });
    const { maxTokens, topK: everyMs = 0 } = asked.message.sampling;
    if (everyMs === 0) {
      for (let n = 0; n < maxTokens; n++) asked.tokens(['word ']);
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
