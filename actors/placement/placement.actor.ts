import type { DeviceReason } from '#actors/contract/why-pending.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { JobsRef, PlacedLease } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { Candidate, Lease } from '#actors/store/store.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { demandOf } from './demand.ts';
import { fleetNode, readLoad, readVitals, type FleetNode } from './fleet-node.ts';
import { nodeLedger } from './node-ledger.ts';
import { PlacementProtocol, type SessionOf } from './placement.protocol.ts';
import { PlacementBook } from './placement.state.ts';

/** Shards claimed in one transaction at most. */
const BATCH = 500;
/** Nothing may hang on a lost wake-up: look at everything this often even when nobody called. */
/** After a claim others wait so long for company, unless there is room for a whole batch. */
const GATHER_MS = 10;
const SWEEP_MS = 1_000;
const STANDINGS_MS = 10_000;

export interface PlacementArgs {
  readonly services: Services;
  readonly jobs: () => JobsRef;
}

/** Drives rounds of the book (placement.state.ts): one claim at a time, and another while there may be more to place. */
export const placementActor = defineActor({
  protocol: PlacementProtocol,
  mailbox: { capacity: 65_536 },
  start(context, { services, jobs }: PlacementArgs) {
    const book = new PlacementBook();
    const sessions = new Map<string, { readonly sessionEpoch: number; readonly ref: DeviceRef }>();
    /** Sessions that ended during the claim in flight. */
    const departed = new Map<string, DeviceRef>();
    let claiming = false;
    let lastClaimAt = Number.NEGATIVE_INFINITY;
    let gathering = false;
    let again = false;

    function deliver(leases: readonly Lease[]): void {
      const placed: PlacedLease[] = [];
      for (const lease of leases) {
        const session = sessions.get(lease.device);
        // The session ended while the claim was under way: the stopped ref makes its ShardActor release the attempt.
        const ref = session?.ref ?? departed.get(lease.device);
        session?.ref.leased({ job: lease.job, fence: lease.fence });
        if (ref !== undefined) placed.push({ lease, device: ref });
      }
      if (placed.length > 0) jobs().leased(placed);
    }

    function claim(): void {
      if (claiming) {
        again = true;
        return;
      }
      // Slots come free one after the other: taken together they cost one transaction.
      const wait = lastClaimAt + GATHER_MS - context.clock.now();
      if (wait > 0 && book.freeSlots() < BATCH) {
        if (gathering) return;
        gathering = true;
        context.after(wait, () => {
          gathering = false;
          claim();
        });
        return;
      }
      const at = context.clock.wall();
      const draws = book.draws(BATCH, at);
      if (draws.length === 0) return;
      claiming = true;
      again = false;
      let seen: readonly Candidate[] = [];
      const request = {
        epochs: services.epochs,
        devices: book.openDevices(),
        draws,
        limit: draws.reduce((sum, draw) => sum + draw.limit, 0),
        at,
        place(candidates: readonly Candidate[]) {
          seen = candidates;
          return book.place(candidates, { at, random: () => context.random(), limit: BATCH });
        },
      };
      context.pipe(services.store.claim(request), (result) => {
        claiming = false;
        lastClaimAt = context.clock.now();
        if (!result.ok) {
          // PostgreSQL may be restarting. The sweep tries again.
          services.log.warn({ error: result.error }, 'claim failed');
          book.settle([]);
          departed.clear();
          return;
        }
        book.settle(result.value, draws, seen);
        deliver(result.value);
        departed.clear();
        // Room or shards that came meanwhile may be what the jobs just set aside were waiting for.
        if (again) book.sweep();
        // Jobs that yielded nothing are set aside, so this ends.
        claim();
      });
    }

    /** What devices have earned with the apps of open jobs. Without it they are taken for new; claims bar who must not vote. */
    function readStandings(): void {
      const apps = new Set(Array.from(book.jobs.values(), ({ demand }) => demand.app));
      for (const app of apps) {
        context.pipe(services.store.standings({ app }), (result) => {
          if (!result.ok) return services.log.warn({ error: result.error }, 'standings not read');
          for (const { device, a, b, quarantine } of result.value) {
            book.setStanding(device, app, { credibility: a / (a + b), quarantined: quarantine !== null });
          }
        });
      }
    }

    function readPolicies(): void {
      context.pipe(services.store.tenantPolicies(), (result) => {
        if (!result.ok) return services.log.warn({ error: result.error }, 'policies of tenants not read');
        for (const [tenant, policy] of result.value) book.setPolicy(tenant, policy);
        claim();
      });
    }

    readPolicies();
    context.every(STANDINGS_MS, readPolicies);
    context.every(STANDINGS_MS, readStandings);
    context.every(SWEEP_MS, () => {
      book.sweep();
      claim();
    });

    function nodeOf({ device, sessionEpoch }: SessionOf): FleetNode | undefined {
      return sessions.get(device)?.sessionEpoch === sessionEpoch ? book.nodes.get(device) : undefined;
    }

    return {
      session({ device, sessionEpoch, ref, capabilities, vitals, draining, held }) {
        if ((sessions.get(device)?.sessionEpoch ?? -1) > sessionEpoch) return;
        sessions.set(device, { sessionEpoch, ref });
        book.addNode(fleetNode({ device, capabilities, vitals, draining }), held);
        claim();
      },
      withdraw(session) {
        if (nodeOf(session) === undefined) return;
        const ref = sessions.get(session.device)?.ref;
        if (claiming && ref !== undefined) departed.set(session.device, ref);
        sessions.delete(session.device);
        book.removeNode(session.device);
      },
      freed({ fence, outcome, ...session }) {
        if (nodeOf(session) === undefined) return;
        const at = context.clock.wall();
        const app = book.release(fence);
        if (app !== null && outcome === 'failed') book.backoff.failed(session.device, app, at);
        if (app !== null && outcome === 'accepted') book.backoff.succeeded(session.device, app);
        claim();
      },
      condition({ vitals, load, memoryFreeBytes, ...session }) {
        const node = nodeOf(session);
        if (node === undefined) return;
        readLoad(node, { load, memoryFreeBytes });
        if (vitals !== null) readVitals(node, vitals);
      },
      hold({ why, on, ...session }) {
        const node = nodeOf(session);
        if (node === undefined) return;
        node[why] = on;
        if (on) return;
        book.sweep();
        claim();
      },
      open({ id, tenant, spec, submittedAt }) {
        const { priority, deadlineSeconds } = spec;
        const deadlineAt = deadlineSeconds === undefined ? null : submittedAt + deadlineSeconds * 1_000;
        book.openJob({ job: id, tenant, priority, submittedAt, deadlineAt, demand: demandOf(spec) });
        claim();
      },
      closed(job) {
        book.closeJob(job);
      },
      wake(job) {
        book.wanting(job);
        claim();
      },
      policiesChanged: readPolicies,
      ledgers() {
        return [...book.nodes.values()].map(nodeLedger);
      },
      blocks({ job: id, barred }) {
        const job = book.jobs.get(id);
        if (job === undefined) return null;
        const bars = { devices: new Set(barred), sites: new Set<string>() };
        const reasons = new Map<DeviceReason, number>();
        let eligible = 0;
        for (const reason of book.blocks(job, context.clock.wall(), bars)) {
          if (reason === null) eligible += 1;
          else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
        return { reasons, eligible, connected: [...book.nodes.keys()], overQuota: book.overQuota(job) };
      },
    };
  },
});
