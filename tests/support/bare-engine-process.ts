import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/**
 * A fake engine without a grid around it: an OpenAI-shaped server that answers as many words as it is asked for at once, whole or
 * streamed, with all that a client of that API expects in an answer. What a gateway adds is measured against it. Prints its port.
 */

const WORD = 'word ';
const PROMPT_TOKENS = 5;

interface Asked {
  readonly model: string;
  readonly messages: readonly unknown[];
  readonly max_tokens: number;
  readonly stream?: boolean;
  readonly temperature?: number;
}

let answers = 0;

async function read(request: IncomingMessage): Promise<Asked> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as Asked;
  if (!Array.isArray(body.messages) || body.messages.length === 0) throw new Error("'messages' is required");
  if (body.temperature !== undefined && !(body.temperature >= 0 && body.temperature <= 2)) throw new Error("'temperature' is out of range");
  return body;
}

function head(object: string): object {
  const created = Math.floor(Date.now() / 1_000);
  return { id: `chatcmpl-${answers}`, object, created, model: 'fake', service_tier: 'default', system_fingerprint: 'fp_fake' };
}

/** One token after the other, as an engine has them. */
async function* generate(tokens: number): AsyncGenerator<string> {
  for (let token = 0; token < tokens; token++) yield WORD;
}

async function whole(response: ServerResponse, tokens: number): Promise<void> {
  let content = '';
  for await (const token of generate(tokens)) content += token;
  const message = { role: 'assistant', content, refusal: null, annotations: [] };
  const text = JSON.stringify({
    ...head('chat.completion'),
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
    usage: {
      prompt_tokens: PROMPT_TOKENS,
      completion_tokens: tokens,
      total_tokens: PROMPT_TOKENS + tokens,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
    },
  });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

async function streamed(response: ServerResponse, tokens: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  const chunk = (delta: object, finish: string | null): void => {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
    response.write(`data: ${JSON.stringify({ ...head('chat.completion.chunk'), choices })}\n\n`);
  };
  chunk({ role: 'assistant', content: '', refusal: null }, null);
  for await (const token of generate(tokens)) chunk({ content: token }, null);
  chunk({}, 'stop');
  response.end('data: [DONE]\n\n');
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader('x-request-id', `req_${randomUUID()}`);
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname !== '/v1/chat/completions') throw new Error(`Unknown request URL: ${pathname}`);
  const { stream = false, max_tokens: tokens } = await read(request);
  answers += 1;
  await (stream ? streamed(response, tokens) : whole(response, tokens));
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } }));
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' && address !== null ? address.port : 0}\n`);
});
process.once('disconnect', () => process.exit(0));
