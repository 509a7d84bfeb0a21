import type { KeyLimits } from '#actors/store/store.ts';

/**
 * How much of its limits a key has used: token buckets that fill again within a minute, and a budget for a month (UTC). Each coordinator
 * keeps its own buckets; the budget is the store's sum and what was used here since it was read. Times are milliseconds.
 */

const MINUTE = 60_000;

interface Bucket {
  left: number;
  at: number;
}

export interface Admission {
  readonly allowed: boolean;
  /** Until it is worth coming back. */
  readonly retryAfterMs: number;
  /** Which limit it was. */
  readonly limit: 'requests' | 'tokens' | 'budget' | null;
  /** OpenAI's x-ratelimit-… headers, for the limits that the key has. */
  readonly headers: Readonly<Record<string, string>>;
}

function refill(bucket: Bucket, size: number, now: number): void {
  bucket.left = Math.min(size, bucket.left + ((now - bucket.at) * size) / MINUTE);
  bucket.at = now;
}

/** As OpenAI writes durations: `6m0s`, `1.2s`, `20ms`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 100) / 10;
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s`;
}

/** Milliseconds from `wall` to the next month. */
export function untilNextMonth(wall: number): number {
  const date = new Date(wall);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - wall;
}

export class KeyMeter {
  limits: KeyLimits;
  /** Tokens of this month, as far as known. */
  monthUsed: number;
  readonly #requests: Bucket;
  readonly #tokens: Bucket;

  constructor(limits: KeyLimits, monthUsed: number, now: number) {
    this.limits = limits;
    this.monthUsed = monthUsed;
    this.#requests = { left: limits.requestsPerMinute ?? 0, at: now };
    this.#tokens = { left: limits.tokensPerMinute ?? 0, at: now };
  }

  /**
   * Takes one request and its estimated tokens, or says when to come back. A request larger than the whole minute is let in when the
   * minute is full: it could never be otherwise.
   */
  admit(tokens: number, now: number, wall: number): Admission {
    const { requestsPerMinute, tokensPerMinute, monthlyTokens } = this.limits;
    let refusal: Pick<Admission, 'limit' | 'retryAfterMs'> | null = null;
    if (requestsPerMinute !== null) {
      refill(this.#requests, requestsPerMinute, now);
      if (this.#requests.left < 1) refusal = { limit: 'requests', retryAfterMs: ((1 - this.#requests.left) * MINUTE) / requestsPerMinute };
    }
    if (tokensPerMinute !== null) {
      refill(this.#tokens, tokensPerMinute, now);
      const missing = Math.min(tokens, tokensPerMinute) - this.#tokens.left;
      if (refusal === null && missing > 0) refusal = { limit: 'tokens', retryAfterMs: (missing * MINUTE) / tokensPerMinute };
    }
    if (monthlyTokens !== null && this.monthUsed >= monthlyTokens) refusal = { limit: 'budget', retryAfterMs: untilNextMonth(wall) };
    if (refusal === null) {
      this.#requests.left -= 1;
      this.#tokens.left -= tokens;
    }
    return { allowed: refusal === null, limit: null, retryAfterMs: 0, ...refusal, headers: this.#headers() };
  }

  /** The request is over: what was estimated becomes what was used. */
  settle(estimated: number, used: number): void {
    this.#tokens.left += estimated - used;
    this.monthUsed += used;
  }

  #headers(): Record<string, string> {
    const { requestsPerMinute, tokensPerMinute } = this.limits;
    const headers: Record<string, string> = {};
    for (const [name, size, bucket] of [
      ['requests', requestsPerMinute, this.#requests],
      ['tokens', tokensPerMinute, this.#tokens],
    ] as const) {
      if (size === null) continue;
      const left = Math.max(0, Math.floor(bucket.left));
      headers[`x-ratelimit-limit-${name}`] = String(size);
      headers[`x-ratelimit-remaining-${name}`] = String(left);
      headers[`x-ratelimit-reset-${name}`] = duration(((size - Math.min(size, bucket.left)) * MINUTE) / size);
    }
    return headers;
  }
}
