import type { Store } from '#actors/store/store.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';
import { GridError } from '#runtime/errors.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import { KeyMeter, untilNextMonth, type Admission } from './key-limits.ts';

/** Limits and sums are read again after so long: a change takes effect within it. */
const READ_AGAIN_MS = 5_000;
const SUMS_AGAIN_MS = 60_000;

/** A request that was refused for the limits of its key. */
export class RateLimited extends GridError {
  readonly admission: Admission;

  constructor(message: string, admission: Admission) {
    super('BUSY', message);
    this.admission = admission;
  }
}

export interface Admitted {
  readonly headers: Readonly<Record<string, string>>;
  /** Once, with the tokens that were really used. */
  settle(used: number): void;
}

/** Lets requests in as far as the limits of their keys go. */
export class Door {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #meters = new Map<string, { meter: KeyMeter; readAt: number; summedAt: number; month: number }>();

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * @param estimate how many tokens the request may cost; asked for only where tokens are limited
   * @throws RateLimited
   */
  async admit(by: Principal, estimate: () => number): Promise<Admitted> {
    const meter = await this.#meter(by.keyId);
    const tokens = meter.limits.tokensPerMinute === null ? 0 : estimate();
    const admission = meter.admit(tokens, this.#clock.now(), this.#clock.wall());
    if (!admission.allowed) throw new RateLimited(messageOf(admission, meter), admission);
    let settled = false;
    return {
      headers: admission.headers,
      settle(used) {
        if (!settled) meter.settle(tokens, used);
        settled = true;
      },
    };
  }

  async #meter(key: string): Promise<KeyMeter> {
    const now = this.#clock.now();
    const known = this.#meters.get(key);
    if (known !== undefined && now - known.readAt < READ_AGAIN_MS) return known.meter;
    // Marked as read at once: requests that come meanwhile go by what is known.
    if (known !== undefined) known.readAt = now;
    const limits = await this.#store.keyLimits(key);
    const wall = this.#clock.wall();
    const month = new Date(wall).getUTCMonth();
    const stale = known === undefined || known.month !== month || now - known.summedAt >= SUMS_AGAIN_MS;
    const used = limits.monthlyTokens !== null && stale ? await this.#usedThisMonth(key, wall) : undefined;
    const entry = this.#meters.get(key) ?? { meter: new KeyMeter(limits, used ?? 0, now), readAt: now, summedAt: now, month };
    this.#meters.set(key, entry);
    if (limits.requestsPerMinute !== entry.meter.limits.requestsPerMinute || limits.tokensPerMinute !== entry.meter.limits.tokensPerMinute)
      entry.meter = new KeyMeter(limits, entry.meter.monthUsed, now);
    entry.meter.limits = limits;
    if (used !== undefined) Object.assign(entry, { summedAt: now, month });
    if (used !== undefined) entry.meter.monthUsed = Math.max(known?.month === month ? entry.meter.monthUsed : 0, used);
    return entry.meter;
  }

  async #usedThisMonth(key: string, wall: number): Promise<number> {
    const date = new Date(wall);
    const from = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
    const sums = await this.#store.usageSums({ tenant: null, apiKey: key, from, to: wall + untilNextMonth(wall) });
    return sums.reduce((total, { promptTokens, completionTokens }) => total + promptTokens + completionTokens, 0);
  }
}

function messageOf({ limit, retryAfterMs }: Admission, { limits }: KeyMeter): string {
  const wait = `Please try again in ${Math.max(1, Math.ceil(retryAfterMs / 1_000))} s.`;
  if (limit === 'budget')
    return `The budget of this key, ${limits.monthlyTokens} tokens a month, is used up. It begins anew with the next month.`;
  if (limit === 'tokens') return `Rate limit reached: ${limits.tokensPerMinute} tokens a minute. ${wait}`;
  return `Rate limit reached: ${limits.requestsPerMinute} requests a minute. ${wait}`;
}
