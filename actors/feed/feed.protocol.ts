import type { DeviceSummary, JobSummary } from '#actors/contract/live.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** What people watch: collects changes and hands them to the doors a few times per second, never once per vote. */
export const FeedProtocol = protocol('feed', {
  job: tell<{ seq: number; summary: JobSummary; changes: [number, number][] }>(),
  device: tell<DeviceSummary>(),
});
export type FeedRef = Ref<typeof FeedProtocol>;
