import { mapShardCount, needsOf } from '#actors/contract/job-spec.ts';
import type { ShardState } from '#actors/contract/job-states.ts';
import { REASON_TEXT, type DeviceReason, type JobHold, type WhyPending } from '#actors/contract/why-pending.ts';
import type { Blocks } from '#actors/placement/placement.protocol.ts';
import type { DeviceRow, JobRow } from '#actors/store/store.ts';

export interface PendingFacts {
  readonly job: JobRow;
  /** Null: any shard of the job that is pending. */
  readonly shard: { readonly index: number; readonly state: ShardState; readonly wanted: number; readonly retryAt?: number } | null;
  /** Wall clock, ms. */
  readonly at: number;
  readonly pending: number;
  readonly devices: readonly Pick<DeviceRow, 'id' | 'state'>[];
  /** Null: placement knows nothing of the job. */
  readonly blocks: Blocks | null;
}

/** Why shards wait, in words and in counts. Every enrolled device is counted once: eligible, or under its first reason. */
export function explainPending({ job, shard, pending, devices, blocks, at }: PendingFacts): WhyPending {
  const counts = new Map<DeviceReason, number>(blocks?.reasons);
  const connected = new Set(blocks?.connected);
  if (blocks !== null) {
    for (const { id, state } of devices) {
      if (connected.has(id)) continue;
      const reason = state === 'revoked' ? 'revoked' : 'absent';
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
  }
  const reasons = [...counts].sort(([, a], [, b]) => b - a).map(([reason, n]) => ({ reason, devices: n, text: REASON_TEXT[reason] }));
  const eligible = blocks?.eligible ?? 0;
  const { hold, text } = holdOf({ job, shard, blocks, at }) ?? { hold: 'none' as const, text: sentence(eligible, devices.length, reasons) };
  return { job: job.id, shard: shard?.index ?? null, pending, hold, text, devices: devices.length, eligible, reasons };
}

/** What no device can help; null when it is a matter of devices. */
function holdOf({ job, shard, blocks, at }: Omit<PendingFacts, 'pending' | 'devices'>): { hold: JobHold; text: string } | null {
  if (job.state === 'queued' && needsOf(job.spec).length > 0)
    return { hold: 'needs', text: job.reason ?? 'it waits for the jobs that it needs' };
  if (job.state === 'queued') return { hold: 'queued', text: job.reason ?? 'the job has not begun yet' };
  if (job.state === 'paused') return { hold: 'paused', text: 'the job is paused: `corpgrid resume ID` lets it go on' };
  if (job.state !== 'running') return { hold: 'ended', text: `the job is ${job.state}: nothing waits` };
  if (shard?.state === 'blocked') {
    return { hold: 'merge', text: `it merges the results of the ${mapShardCount(job.spec)} others and waits for them` };
  }
  if (shard !== null && shard.wanted === 0) return { hold: 'none', text: `the shard is ${shard.state}: it waits for no device` };
  if (shard !== null && shard.retryAt !== undefined && shard.retryAt > at) {
    return { hold: 'retry', text: `an attempt of it failed: it runs again in ${Math.ceil((shard.retryAt - at) / 1_000)} s` };
  }
  if (blocks?.overQuota === true) return { hold: 'quota', text: `the tenant ${job.tenant} runs as much as it may` };
  return null;
}

function sentence(eligible: number, devices: number, reasons: WhyPending['reasons']): string {
  if (devices === 0) return 'no device is enrolled: `corpgrid tokens create` makes a token to join with';
  if (eligible > 0) return `${eligible} of ${devices} devices could take it now: it waits for its turn`;
  const told = reasons.slice(0, 3).map(({ devices: n, text }) => `${n} ${text}`);
  return `no device can take it now: of ${devices}, ${told.join('; ')}`;
}
