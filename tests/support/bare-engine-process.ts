import { createServer } from 'node:http';

/**
 * The cheapest OpenAI-shaped server there is: reads a request, answers as many tokens as it asks for at once, whole or streamed. What a
 * gateway adds is measured against it. Prints its port.
 */

const HEAD = '"id":"chatcmpl-1","created":1700000000,"model":"fake"';

function answer(tokens: number): string {
  const content = JSON.stringify('word '.repeat(tokens));
  const message = `{"role":"assistant","content":${content},"refusal":null}`;
  const usage = `{"prompt_tokens":5,"completion_tokens":${tokens},"total_tokens":${tokens + 5}}`;
  return `{${HEAD},"object":"chat.completion","choices":[{"index":0,"message":${message},"logprobs":null,"finish_reason":"stop"}],"usage":${usage}}`;
}

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as { max_tokens: number; stream?: boolean };
    if (body.stream !== true) {
      const text = answer(body.max_tokens);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
      return void response.end(text);
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    const chunk = (delta: object, finish: string | null): string =>
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'fake', choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }] })}\n\n`;
    response.write(chunk({ role: 'assistant', content: '' }, null));
    for (let token = 0; token < body.max_tokens; token++) response.write(chunk({ content: 'word ' }, null));
    response.write(chunk({}, 'stop'));
    return void response.end('data: [DONE]\n\n');
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' && address !== null ? address.port : 0}\n`);
});
process.once('disconnect', () => process.exit(0));
