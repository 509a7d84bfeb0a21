import type { FeedRef } from '#actors/feed/feed.protocol.ts';
import type { Revive } from '#actors/generation/revive.ts';
import type { JobsRef } from '#actors/job/jobs.protocol.ts';
import type { ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { DeviceRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';

import type { DeviceArgs } from './device.actor.ts';
import type { DeviceProtocol, DeviceRef } from './device.protocol.ts';
import { IDLE_LEASE_MS } from './device.state.ts';
import { deviceSummary } from './device-view.ts';
import { DevicesProtocol } from './devices.protocol.ts';

/** Beats of all sessions reach the database in one statement this often. */
const BEAT_FLUSH_MS = 5_000;

export interface DevicesArgs {
  readonly services: Services;
  readonly device: ActorDefinition<typeof DeviceProtocol, DeviceArgs>;
  readonly jobs: () => JobsRef;
  readonly placement: () => PlacementRef;
  readonly models: () => ModelsRef;
  readonly feed: FeedRef;
  readonly revive: Revive;
}

export const devicesActor = defineActor({
  protocol: DevicesProtocol,
  mailbox: { capacity: 65_536 },
  start(context, args: DevicesArgs) {
    const { services, feed } = args;
    /** The newest session of each device, by its epoch. */
    const live = new Map<string, { ref: DeviceRef; sessionEpoch: number }>();
    const beats = new Map<string, number>();

    context.every(BEAT_FLUSH_MS, () => {
      if (beats.size === 0) return;
      const batch = [...beats].map(([device, sessionEpoch]) => ({ device, sessionEpoch }));
      beats.clear();
      context.pipe(services.store.beat(batch, context.clock.wall()), (result) => {
        // While PostgreSQL is away sessions live on in memory; the next flush writes them again.
        if (!result.ok) return services.log.warn({ error: result.error }, 'heartbeats not written');
        for (const { device, sessionEpoch } of batch) {
          const entry = live.get(device);
          if (!result.value.has(device) && entry?.sessionEpoch === sessionEpoch) entry.ref.closed('fenced by a newer session');
        }
      });
    });

    async function rowOf(id: string): Promise<DeviceRow> {
      const row = await services.store.findDevice(id);
      if (row === null) throw new GridError('NOT_FOUND', `no device ${id}`, { fix: '`corpgrid devices` lists them' });
      return row;
    }

    return {
      opened({ session, hello }) {
        const { link } = session;
        const at = context.clock.wall();
        context.pipe(services.store.openSession(link.peer, hello.capabilities, at), (result) => {
          if (!result.ok) {
            services.log.error({ device: link.peer, error: result.error }, 'session could not be opened');
            return link.close('the grid cannot open a session right now');
          }
          if (result.value === null) return link.close('the device is unknown or revoked');
          const { sessionEpoch, device } = result.value;
          const ref = context.spawn({
            id: `${device.id}.${sessionEpoch}`,
            actor: args.device,
            restart: 'temporary',
            args: { ...args, session: result.value, link, hello, devices: context.self },
          });
          live.set(device.id, { ref, sessionEpoch });
          session.attach({
            message(message) {
              // A full mailbox means that this coordinator does not keep up; the agent's votes wait in its journal.
              const { promise, resolve } = Promise.withResolvers<void>();
              if (ref.fromAgent({ message, consumed: resolve }) === 'full') link.close('the coordinator does not keep up');
              return promise;
            },
            suspended: () => void ref.suspended(),
            resumed: () => void ref.resumed(),
            closed: (reason) => void ref.closed(reason),
          });
          context.watch(ref, () => {
            link.close('the session ended');
            if (live.get(device.id)?.sessionEpoch !== sessionEpoch) return;
            live.delete(device.id);
            markAbsent(device.id, sessionEpoch);
          });
          services.log.info({ device: device.id, name: device.name, sessionEpoch }, 'session opened');
        });
      },
      due(entries) {
        for (const { id, token } of entries) {
          const entry = live.get(id);
          if (entry !== undefined && String(entry.sessionEpoch) === token) entry.ref.leaseExpired();
          // A session of a coordinator that is gone. The write is fenced: a newer session anywhere is not touched.
          else if (entry === undefined || entry.sessionEpoch < Number(token)) expireElsewhere(id, Number(token));
        }
      },
      reportHeld(job) {
        for (const { ref } of live.values()) ref.reportHeld(job);
      },
      jobEnded(job) {
        for (const { ref } of live.values()) ref.jobEnded(job);
      },
      beat({ device, sessionEpoch }) {
        beats.set(device, sessionEpoch);
      },
      changed(device) {
        context.pipe(rowOf(device), (result) => {
          if (result.ok) feed.device(deviceSummary(result.value));
        });
      },
      find(device) {
        return live.get(device)?.ref ?? null;
      },
      live() {
        return new Map([...live].map(([device, entry]) => [device, entry.ref]));
      },
    };

    /** Its coordinator may well live, and write its beats: then it is asked for again later. */
    function expireElsewhere(device: string, sessionEpoch: number): void {
      context.pipe(services.store.findDevice(device), (result) => {
        if (!result.ok || result.value === null || result.value.sessionEpoch !== sessionEpoch) return;
        const { lastSeenAt } = result.value;
        if (lastSeenAt !== null && context.clock.wall() - lastSeenAt < IDLE_LEASE_MS) {
          return void services.presence.set(device, String(sessionEpoch), IDLE_LEASE_MS);
        }
        markAbsent(device, sessionEpoch);
      });
    }

    function markAbsent(device: string, sessionEpoch: number): void {
      context.pipe(services.store.setDeviceState(device, sessionEpoch, 'absent', context.clock.wall()), (result) => {
        if (!result.ok) return services.log.warn({ device, error: result.error }, 'absence not written');
        context.pipe(rowOf(device), (row) => {
          if (row.ok) feed.device(deviceSummary(row.value));
        });
      });
    }
  },
});
