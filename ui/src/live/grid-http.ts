import type { ProblemJson } from '#actors/contract/live.ts';

import { asProblem, GridProblem, UNREACHABLE } from './problem.ts';

/** Bytes that a person asked for, with the name under which they are saved. */
export interface Download {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
}

export type JobAction = 'pause' | 'resume' | 'cancel';

/** The grid's HTTP API, as far as the pages use it. Every method rejects with GridProblem. */
export interface GridHttp {
  act(job: string, action: JobAction): Promise<void>;
  result(job: string, fallbackName: string): Promise<Download>;
  /** Output of one shard, whole. */
  output(job: string, shard: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** The receipt as JSON, unchecked; null before the job is sealed. */
  receipt(job: string, shard: number): Promise<unknown>;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

async function problemOf(response: Response): Promise<ProblemJson> {
  const fallback = { code: 'INTERNAL', message: `The grid answered ${response.status} ${response.statusText}`.trim() };
  return asProblem(await response.json().catch(() => null), fallback);
}

/** Name out of a Content-Disposition header; undefined when there is none. */
export function nameFromDisposition(header: string | null): string | undefined {
  const match = /filename\*=(?:UTF-8'')([^;]+)|filename="([^"]+)"|filename=([^;]+)/i.exec(header ?? '');
  if (!match) return undefined;
  return match[1] === undefined ? (match[2] ?? match[3])?.trim() : decodeURIComponent(match[1]);
}

export function createGridHttp(options: { base: string; key: string; fetch: Fetch }): GridHttp {
  const { base, key, fetch } = options;

  async function call(path: string, init: RequestInit = {}): Promise<Response> {
    const answer = await fetch(`${base}${path}`, { ...init, headers: { authorization: `Bearer ${key}` } }).catch((cause: unknown) => {
      if (init.signal?.aborted) throw cause;
      throw new GridProblem(UNREACHABLE);
    });
    if (!answer.ok) throw new GridProblem(await problemOf(answer));
    return answer;
  }
  const bytesOf = async (answer: Response): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await answer.arrayBuffer());

  return {
    async act(job, action) {
      await call(`/api/jobs/${job}/${action}`, { method: 'POST' });
    },
    async result(job, fallbackName) {
      const answer = await call(`/api/jobs/${job}/result`);
      return {
        name: nameFromDisposition(answer.headers.get('content-disposition')) ?? fallbackName,
        bytes: await bytesOf(answer),
        type: answer.headers.get('content-type') ?? 'application/octet-stream',
      };
    },
    async output(job, shard, signal) {
      return bytesOf(await call(`/api/jobs/${job}/shards/${shard}/output`, signal ? { signal } : {}));
    },
    async receipt(job, shard) {
      try {
        return (await (await call(`/api/jobs/${job}/shards/${shard}/receipt`)).json()) as unknown;
      } catch (error) {
        if (error instanceof GridProblem && error.problem.code === 'NOT_FOUND') return null;
        throw error;
      }
    },
  };
}
