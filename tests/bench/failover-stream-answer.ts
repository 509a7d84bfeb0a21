/** One streamed answer, as a client sees it. */

export interface Token {
  readonly bytes: readonly number[];
  readonly logprob: number;
}

export interface Streamed {
  /** What was sent as content, and as arguments of the calls. */
  readonly content: string;
  readonly calls: readonly { name: string; arguments: string }[];
  readonly tokens: readonly Token[];
  readonly finish: string | null;
  readonly completionTokens: number | null;
  /** `[DONE]` came. */
  readonly done: boolean;
  readonly error: string | null;
  /** Milliseconds, by the clock of `performance`, at which something came. */
  readonly arrivals: readonly number[];
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly tool_calls?: readonly {
        readonly index: number;
        readonly function?: { readonly name?: string; readonly arguments?: string };
      }[];
    };
    readonly text?: string;
    readonly logprobs?: { readonly content?: readonly Token[] } | null;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string };
}

export interface Door {
  readonly url: string;
  readonly key: string;
}

/** Asks, reads to the end, and tells `heard` of each arrival: the tokens so far and the device that answers. */
export async function stream(
  { url, key }: Door,
  body: object,
  heard: (tokens: number, device: string) => void = () => undefined,
): Promise<Streamed> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true }, logprobs: true }),
  });
  const device = response.headers.get('x-corpgrid-device') ?? '';
  const seen = {
    content: '',
    calls: [] as { name: string; arguments: string }[],
    tokens: [] as Token[],
    finish: null as string | null,
    completionTokens: null as number | null,
    done: false,
    error: response.ok ? null : `HTTP ${response.status}: ${await response.clone().text()}`,
    arrivals: [performance.now()],
  };
  if (!response.ok || response.body === null) return seen;
  let held = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    held += part;
    const events = held.split('\n\n');
    held = events.pop() ?? '';
    for (const event of events) read(event, seen);
    seen.arrivals.push(performance.now());
    heard(seen.tokens.length, device);
  }
  return seen;
}

function read(
  event: string,
  seen: { -readonly [K in keyof Streamed]: Streamed[K] } & { tokens: Token[]; calls: { name: string; arguments: string }[] },
): void {
  const data = /^data: (.*)$/m.exec(event)?.[1];
  if (data === undefined) return;
  if (data === '[DONE]') return void (seen.done = true);
  const { choices = [], usage, error } = JSON.parse(data) as Chunk;
  if (error !== undefined) seen.error = error.message;
  if (usage != null) seen.completionTokens = usage.completion_tokens;
  for (const { delta, logprobs, finish_reason: finish } of choices) {
    seen.content += delta?.content ?? '';
    for (const { index, function: made } of delta?.tool_calls ?? []) {
      const call = (seen.calls[index] ??= { name: '', arguments: '' });
      call.name += made?.name ?? '';
      call.arguments += made?.arguments ?? '';
    }
    seen.tokens.push(...(logprobs?.content ?? []));
    seen.finish ??= finish ?? null;
  }
}

export function textOf(tokens: readonly Token[]): string {
  return Buffer.from(tokens.flatMap(({ bytes }) => [...bytes])).toString('utf8');
}
