import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { FeedProtocol, type FeedRef } from './feed.protocol.ts';

/** Who watches a job may have come in by any coordinator's door: all of them hear of it. */
export const feedRelayActor = defineActor({
  protocol: FeedProtocol,
  mailbox: { capacity: 16_384 },
  start(_context, { cluster, local }: { cluster: GridCluster; local: FeedRef }) {
    const all = (): FeedRef[] => [local, ...cluster.others('feed', FeedProtocol).values()];
    return {
      job(delta) {
        for (const feed of all()) feed.job(delta);
      },
      device(device) {
        for (const feed of all()) feed.device(device);
      },
    };
  },
});
