import type { DeviceSummary, JobDelta, JobSummary } from '#actors/contract/live.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { FeedProtocol } from './feed.protocol.ts';

/** Each device's tile changes at most this often on a screen. */
const DEVICE_MS = 500;

/** Where the feed goes; the door decides who may see which. */
export interface Audience {
  job(delta: JobDelta): void;
  jobChanged(summary: JobSummary): void;
  device(device: DeviceSummary): void;
}

export const feedActor = defineActor({
  protocol: FeedProtocol,
  mailbox: { capacity: 16_384 },
  start(context, { audience }: { audience: Audience }) {
    const devices = new Map<string, DeviceSummary>();

    context.every(DEVICE_MS, () => {
      for (const device of devices.values()) audience.device(device);
      devices.clear();
    });

    return {
      job({ seq, summary, changes }) {
        audience.job({ seq, summary, changes });
        audience.jobChanged(summary);
      },
      device(device) {
        devices.set(device.id, device);
      },
    };
  },
});
