import { connect, type Socket } from 'node:net';

/** A client of the OpenAI door that costs next to nothing: a prepared request on a raw socket, and the end of the answer looked for. */

export interface Target {
  readonly port: number;
  readonly key: string;
}

export interface Shape {
  readonly stream: boolean;
  readonly tokens: number;
  /** Milliseconds between tokens; 0: all at once. */
  readonly everyMs?: number;
  /** Default: the one without limits. */
  readonly model?: string;
}

function requestBytes({ port, key }: Target, { stream, tokens, everyMs = 0, model = 'fake' }: Shape): Buffer {
  const pace = everyMs === 0 ? {} : { top_k: everyMs };
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: tokens,
    temperature: 0,
    stream,
    ...pace,
  });
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    `host: 127.0.0.1:${port}`,
    `authorization: Bearer ${key}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** One connection, one request at a time. */
export class Client {
  readonly #socket: Socket;
  readonly #bytes: Buffer;
  readonly #stream: boolean;
  #received = '';
  #firstAt = 0;
  #wake: (() => void) | null = null;
  #fail: ((error: Error) => void) | null = null;

  private constructor(socket: Socket, bytes: Buffer, stream: boolean) {
    this.#socket = socket;
    this.#bytes = bytes;
    this.#stream = stream;
    socket.setNoDelay(true);
    socket.on('data', (part) => this.#take(part.toString('latin1')));
    socket.on('error', (error) => this.#fail?.(error));
    socket.on('close', () => this.#fail?.(new Error('the server closed the connection')));
  }

  static open(target: Target, shape: Shape): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect(target.port, '127.0.0.1', () => resolve(new Client(socket, requestBytes(target, shape), shape.stream)));
      socket.once('error', reject);
    });
  }

  /** Resolves with the answer when its last byte is there. */
  async ask(): Promise<string> {
    this.#received = '';
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      this.#fail = reject;
      this.#socket.write(this.#bytes);
    });
    this.#fail = null;
    if (!this.#received.startsWith('HTTP/1.1 200')) throw new Error(`refused: ${this.#received.slice(0, 500)}`);
    return this.#received;
  }

  /** Milliseconds from the request to the first word of its answer; resolves when all of it is there. */
  async firstWord(): Promise<number> {
    const started = performance.now();
    this.#firstAt = 0;
    await this.ask();
    return this.#firstAt - started;
  }

  close(): void {
    this.#fail = null;
    this.#socket.destroy();
  }

  #take(part: string): void {
    this.#received += part;
    if (this.#firstAt === 0 && this.#received.includes('"content":"w')) this.#firstAt = performance.now();
    if (this.#over()) this.#wake?.();
  }

  #over(): boolean {
    if (this.#stream && this.#received.startsWith('HTTP/1.1 200')) return this.#received.endsWith('0\r\n\r\n');
    const end = this.#received.indexOf('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(this.#received)?.[1];
    return end >= 0 && length !== undefined && this.#received.length >= end + 4 + Number(length);
  }
}

/** Milliseconds of each request of one connection, after some to warm up. */
export async function latencies(target: Target, shape: Shape, requests: number): Promise<number[]> {
  const client = await Client.open(target, shape);
  try {
    const times: number[] = [];
    for (let n = 0; n < requests + 20; n++) {
      const started = performance.now();
      await client.ask();
      if (n >= 20) times.push(performance.now() - started);
    }
    return times;
  } finally {
    client.close();
  }
}

/** Requests per second of that many connections. */
export async function throughput(
  target: Target,
  shape: Shape,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<number> {
  const clients = await Promise.all(Array.from({ length: connections }, () => Client.open(target, shape)));
  try {
    const started = performance.now();
    const end = started + seconds * 1_000;
    let answered = 0;
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < end) {
          await client.ask();
          answered += 1;
        }
      }),
    );
    return answered / ((performance.now() - started) / 1_000);
  } finally {
    for (const client of clients) client.close();
  }
}
