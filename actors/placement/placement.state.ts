import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { DeviceReason } from '#actors/contract/why-pending.ts';
import type { Assignment, Candidate, Draw, Lease } from '#actors/store/store.ts';
import { DEFAULT_POLICY, type TenantPolicy } from '#actors/store/tenant-policy.ts';

import { addUsage, dominantShare, fleetTotals, noUsage, type Usage } from './fair-share.ts';
import { charge, refund, type Claim, type FleetNode } from './fleet-node.ts';
import { roomBlock, shardBlock, standingBlock, type ShardBars, type Standing } from './hard-filters.ts';
import { HostBackoff } from './host-backoff.ts';
import { byUrgency, type OpenJob } from './job-order.ts';
import { NEW_DEVICE_CREDIBILITY, score } from './score.ts';

/**
 * What placement knows: the nodes with their ledgers, the open jobs, who holds what, and what each tenant has of the fleet.
 * Nothing of it is persisted; sessions and jobs say it again after a restart.
 *
 * A round has three steps. `draws` says, by fairness, of which jobs how many shards are worth looking at. The store locks
 * those and calls `place`, which hands out room for real, one attempt at a time: the tenant with the smallest dominant share
 * first, of that tenant the most urgent job, on the machine with the best score among those that no filter blocks. What it
 * takes is provisional until `settle` says which of the assignments became leases; `place` may be called again before that
 * (its transaction was rolled back) and then begins anew.
 *
 * A job that yields nothing leaves the rounds: `exhausted` until somebody says that one of its shards wants an attempt,
 * `stuck` (nothing of it fits now) until any room is freed. Both end with the sweep, so that nothing hangs on a lost word.
 */
export class PlacementBook {
  readonly nodes = new Map<string, FleetNode>();
  readonly jobs = new Map<string, OpenJob>();
  readonly backoff = new HostBackoff();
  readonly #leases = new Map<string, Held>();
  readonly #fencesOf = new Map<string, Set<string>>();
  /** Held by sessions, of jobs that are not open yet. */
  readonly #uncharged = new Map<string, Set<string>>();
  readonly #usage = new Map<string, Usage>();
  readonly #policies = new Map<string, TenantPolicy>();
  readonly #standings = new Map<string, { credibility: number; quarantined: boolean }>();
  readonly #exhausted = new Set<string>();
  readonly #stuck = new Set<string>();
  #total: Usage = noUsage();
  #provisional: Provisional[] = [];
  /** A node on which the job found room last. */
  readonly #roomy = new Map<string, FleetNode>();
  /** Jobs that the last placement found no room for. */
  readonly #unplaced = new Set<string>();
  #coresPerGpu = 8;
  /** While more is wanted than there is room for: the machine that is being filled, by job and number of the attempt. */
  #filling: Map<string, FleetNode> | null = null;

  /** A session of the device begins. What an earlier one held is forgotten; `held` came back with this one. */
  addNode(node: FleetNode, held: readonly { readonly fence: Fence; readonly job: string }[] = []): void {
    this.removeNode(node.device);
    node.freeSlots = Math.max(0, node.slots - held.length);
    this.nodes.set(node.device, node);
    this.#total = fleetTotals(this.nodes.values());
    for (const { fence, job } of held) this.#hold(fenceText(fence), job, node, null);
    this.#unstick(node);
  }

  removeNode(device: string): void {
    const node = this.nodes.get(device);
    if (node === undefined) return;
    for (const key of this.#fencesOf.get(device) ?? []) this.#forget(key);
    this.#fencesOf.delete(device);
    this.nodes.delete(device);
    this.#total = fleetTotals(this.nodes.values());
  }

  openJob(job: OpenJob): void {
    this.jobs.set(job.job, job);
    this.wanting(job.job);
    for (const key of this.#uncharged.get(job.job) ?? []) {
      const held = this.#leases.get(key);
      if (held === undefined) continue;
      held.open = job;
      held.claim = charge(held.node, job.demand);
      addUsage(this.#usageOf(job.tenant), job.demand, 1);
    }
    this.#uncharged.delete(job.job);
  }

  /** Gets no new attempts; those that run keep what they hold. */
  closeJob(job: string): void {
    const known = this.jobs.get(job);
    if (known === undefined) return;
    this.jobs.delete(job);
    this.#exhausted.delete(job);
    this.#stuck.delete(job);
    this.#roomy.delete(job);
  }

  /** One of its shards may want an attempt. */
  wanting(job: string): void {
    this.#exhausted.delete(job);
    this.#stuck.delete(job);
  }

  /** Looks at everything again. */
  sweep(): void {
    this.#exhausted.clear();
    this.#stuck.clear();
  }

  setPolicy(tenant: string, policy: TenantPolicy): void {
    this.#policies.set(tenant, policy);
  }

  policyOf(tenant: string): TenantPolicy {
    return this.#policies.get(tenant) ?? DEFAULT_POLICY;
  }

  setStanding(device: string, app: string, standing: { readonly credibility: number; readonly quarantined: boolean }): void {
    this.#standings.set(`${device} ${app}`, standing);
  }

  usageOf(tenant: string): Readonly<Usage> {
    return this.#usageOf(tenant);
  }

  /**
   * The attempt of this fence is over: its slot and what it was promised are free. Answers the app that it ran, as far as it is
   * known.
   */
  release(fence: Fence): string | null {
    const key = fenceText(fence);
    const held = this.#leases.get(key);
    if (held === undefined) return null;
    const { node, job } = held;
    this.#fencesOf.get(node.device)?.delete(key);
    this.#forget(key);
    node.freeSlots += 1;
    this.wanting(job);
    this.#unstick(node);
    return held.open?.demand.app ?? null;
  }

  freeSlots(): number {
    let free = 0;
    for (const node of this.nodes.values()) if (!node.draining && !node.suspended) free += Math.max(0, node.freeSlots);
    return free;
  }

  /** Devices that could take an attempt of some job. */
  openDevices(): string[] {
    return [...this.nodes.values()].filter((n) => n.freeSlots > 0 && !n.draining && !n.suspended).map((n) => n.device);
  }

  /** Tenant by tenant, the jobs to look at in their order, and how many shards of them all. Empty: nothing can be placed. */
  draws(limit: number, at: number): Draw[] {
    const room = Math.min(limit, this.freeSlots());
    if (room <= 0) return [];
    const queues = new Map<string, OpenJob[]>();
    for (const job of this.jobs.values()) {
      if (this.#exhausted.has(job.job) || this.#stuck.has(job.job) || this.overQuota(job)) continue;
      const queue = queues.get(job.tenant) ?? [];
      queue.push(job);
      queues.set(job.tenant, queue);
    }
    let looks = LOOKS_PER_DRAW;
    const tenants = [...queues].flatMap(([tenant, queue]) => {
      const jobs: OpenJob[] = [];
      for (const job of queue.sort(byUrgency)) {
        if (jobs.length === JOBS_PER_DRAW || looks-- === 0) break;
        if (this.#anyRoom(job, at)) jobs.push(job);
        else this.#stuck.add(job.job);
      }
      const [first] = jobs;
      if (first === undefined) return [];
      return [{ tenant, jobs, demand: first.demand, usage: { ...this.#usageOf(tenant) }, limit: 0 }];
    });
    for (let n = 0; n < room && tenants.length > 0; n++) {
      const next = least(tenants, (t) => this.#share(t.tenant, t.usage));
      next.limit += 1;
      addUsage(next.usage, next.demand, 1);
    }
    // More than its share: some may not fit, and the room must not stay empty for that.
    return tenants.map(({ jobs, limit: n }) => ({ jobs: jobs.map((j) => j.job), limit: n + SPARE }));
  }

  /**
   * Hands out room, provisionally. Candidates of one tenant are taken in their order. The first attempt of a shard goes to the
   * machine with the best score, equal scores to the lower id; every further one to a random machine of those that may, so
   * that nobody can choose whom to vote with. While more is wanted than there is room for, a machine that was chosen is filled before
   * the next is; a shard that is asked about again is not part of that: its machine is drawn for it alone.
   */
  place(candidates: readonly Candidate[], { at, random, limit = Number.POSITIVE_INFINITY }: PlaceOptions): Assignment[] {
    this.#undo();
    this.#unplaced.clear();
    const mayRun = new Map<string, FleetNode[]>();
    const queues = new Map<string, { next: number; readonly list: { candidate: Candidate; job: OpenJob }[] }>();
    for (const candidate of candidates) {
      const job = this.jobs.get(candidate.job);
      if (job === undefined) continue;
      const queue = queues.get(job.tenant) ?? { next: 0, list: [] };
      queue.list.push({ candidate, job });
      queues.set(job.tenant, queue);
    }
    const asked = candidates.reduce((sum, { wanted }) => sum + wanted, 0);
    this.#filling = asked >= Math.min(limit, this.freeSlots()) ? new Map() : null;
    const tenants = [...queues].map(([tenant, queue]) => ({ tenant, usage: this.#usageOf(tenant), queue }));
    const assignments: Assignment[] = [];
    while (tenants.length > 0 && assignments.length < limit) {
      const turn = least(tenants, (t) => this.#share(t.tenant, t.usage));
      const entry = turn.queue.list[turn.queue.next++];
      if (entry === undefined) {
        tenants.splice(tenants.indexOf(turn), 1);
        continue;
      }
      const { candidate, job } = entry;
      let nodes = mayRun.get(job.job);
      if (nodes === undefined) {
        nodes = this.#open(job, at);
        mayRun.set(job.job, nodes);
      }
      if (nodes.length === 0) {
        this.#unplaced.add(job.job);
        continue;
      }
      const placed = this.#placeShard(candidate, job, nodes, assignments, random);
      if (!placed) this.#unplaced.add(job.job);
      // Room only shrinks from here on: what found none without a bar leaves the others of its job none either.
      if (!placed && candidate.barred.length === 0) mayRun.set(job.job, []);
    }
    return assignments;
  }

  /** Which of the last placement's assignments became leases; what the others took is given back. */
  settle(leases: readonly Lease[], drawn: readonly Draw[] = [], candidates: readonly Candidate[] = []): void {
    const made = new Map(leases.map((lease) => [`${lease.shardId} ${lease.device}`, lease]));
    for (const { shardId, node, job, claim } of this.#provisional.splice(0)) {
      const lease = made.get(`${shardId} ${node.device}`);
      if (lease !== undefined && this.nodes.get(node.device) === node) this.#hold(fenceText(lease.fence), job.job, node, claim);
      else this.#giveBack(node, job, claim);
    }
    this.#setAside(leases, drawn, candidates);
  }

  /** What keeps each connected device from taking an attempt of this job (of this shard) now; null: nothing. */
  blocks(job: OpenJob, at: number, bars: ShardBars = NO_BARS): (DeviceReason | null)[] {
    return [...this.nodes.values()].map(
      (node) => standingBlock(node, job.demand, this.#standing(node, job), at) ?? shardBlock(node, bars) ?? roomBlock(node, job.demand),
    );
  }

  /** Machines that may run the job and have room now: within one placement no other will. */
  #open(job: OpenJob, at: number): FleetNode[] {
    const open: FleetNode[] = [];
    for (const node of this.nodes.values()) {
      if (this.#hasRoom(node, job, at)) open.push(node);
    }
    return open;
  }

  /** False when nothing was found for its first attempt. */
  #placeShard(candidate: Candidate, job: OpenJob, nodes: readonly FleetNode[], out: Assignment[], random: () => number): boolean {
    const bars = barsOf(candidate, job, this.nodes);
    const byLot = candidate.again ?? candidate.barred.length > 0;
    for (let n = 0; n < candidate.wanted; n++) {
      if (this.overQuota(job)) return n > 0;
      const filled = byLot ? undefined : this.#next(job, n, bars);
      const node = filled ?? (byLot || n > 0 ? this.#any(job, nodes, bars, random) : this.#best(job, nodes, bars));
      if (node === undefined) return n > 0;
      if (!byLot) this.#filling?.set(`${job.job} ${n}`, node);
      bars.devices.add(node.device);
      if (job.demand.constraints.spread === 'site' && node.site !== null) bars.sites.add(node.site);
      const claim = charge(node, job.demand);
      node.freeSlots -= 1;
      addUsage(this.#usageOf(job.tenant), job.demand, 1);
      if (job.demand.gpus > 0) this.#coresPerGpu += (job.demand.cores / job.demand.gpus - this.#coresPerGpu) * 0.01;
      this.#provisional.push({ shardId: candidate.shardId, node, job, claim });
      out.push({ shardId: candidate.shardId, device: node.device });
    }
    return true;
  }

  /**
   * The machine that the n-th attempt of the job's last shard went to, while it has room and more is wanted than there is room for: then
   * every slot is filled in the end, and what a machine gets at once travels, is signed and is recorded together.
   */
  #next(job: OpenJob, n: number, bars: ShardBars): FleetNode | undefined {
    const node = this.#filling?.get(`${job.job} ${n}`);
    return node === undefined || roomBlock(node, job.demand) !== null || shardBlock(node, bars) !== null ? undefined : node;
  }

  #best(job: OpenJob, nodes: readonly FleetNode[], bars: ShardBars): FleetNode | undefined {
    let best: FleetNode | undefined;
    let most = Number.NEGATIVE_INFINITY;
    for (const node of nodes) {
      if (roomBlock(node, job.demand) !== null || shardBlock(node, bars) !== null) continue;
      const value = score(node, job.demand, { credibility: this.#credibility(node, job), coresPerGpu: this.#coresPerGpu });
      if (value > most || (value === most && best !== undefined && node.device < best.device)) {
        best = node;
        most = value;
      }
    }
    return best;
  }

  #any(job: OpenJob, nodes: readonly FleetNode[], bars: ShardBars, random: () => number): FleetNode | undefined {
    const open = nodes.filter((node) => roomBlock(node, job.demand) === null && shardBlock(node, bars) === null);
    return open[Math.floor(random() * open.length)];
  }

  /** Jobs that found no room anywhere may find it on this node now. */
  #unstick(node: FleetNode): void {
    for (const id of this.#stuck) {
      const job = this.jobs.get(id);
      if (job === undefined || roomBlock(node, job.demand) === null) this.#stuck.delete(id);
    }
  }

  #anyRoom(job: OpenJob, at: number): boolean {
    // Where there was room a moment ago there mostly still is.
    const hint = this.#roomy.get(job.job);
    if (hint !== undefined && this.nodes.get(hint.device) === hint && this.#hasRoom(hint, job, at)) return true;
    for (const node of this.nodes.values()) {
      if (!this.#hasRoom(node, job, at)) continue;
      this.#roomy.set(job.job, node);
      return true;
    }
    this.#roomy.delete(job.job);
    return false;
  }

  #hasRoom(node: FleetNode, job: OpenJob, at: number): boolean {
    return roomBlock(node, job.demand) === null && standingBlock(node, job.demand, this.#standing(node, job), at) === null;
  }

  #standing(node: FleetNode, { demand }: OpenJob): Standing | undefined {
    const backoffUntil = this.backoff.until(node.device, demand.app);
    const quarantined = this.#standings.size > 0 && this.#standings.get(`${node.device} ${demand.app}`)?.quarantined === true;
    return backoffUntil === 0 && !quarantined ? undefined : { quarantined, backoffUntil };
  }

  #credibility(node: FleetNode, { demand }: OpenJob): number {
    if (this.#standings.size === 0) return NEW_DEVICE_CREDIBILITY;
    return this.#standings.get(`${node.device} ${demand.app}`)?.credibility ?? NEW_DEVICE_CREDIBILITY;
  }

  #share(tenant: string, usage: Usage): number {
    return dominantShare(usage, this.#total) / this.policyOf(tenant).weight;
  }

  /** One more attempt of this job would be more than its tenant may have. */
  overQuota({ tenant, demand }: OpenJob): boolean {
    const policy = this.#policies.get(tenant);
    if (policy === undefined) return false;
    const usage = this.#usageOf(tenant);
    if (policy.maxRunning !== null && usage.slots + 1 > policy.maxRunning) return true;
    return policy.maxGpus !== null && demand.gpus > 0 && usage.gpus + demand.gpus > policy.maxGpus;
  }

  #usageOf(tenant: string): Usage {
    let usage = this.#usage.get(tenant);
    if (usage === undefined) this.#usage.set(tenant, (usage = noUsage()));
    return usage;
  }

  #hold(key: string, job: string, node: FleetNode, claim: Claim | null): void {
    const open = this.jobs.get(job);
    const held: Held = { job, open: open ?? null, node, claim };
    this.#leases.set(key, held);
    const fences = this.#fencesOf.get(node.device) ?? new Set();
    this.#fencesOf.set(node.device, fences.add(key));
    if (claim !== null) return;
    if (open !== undefined) {
      held.claim = charge(node, open.demand);
      addUsage(this.#usageOf(open.tenant), open.demand, 1);
    } else {
      const waiting = this.#uncharged.get(job) ?? new Set();
      this.#uncharged.set(job, waiting.add(key));
    }
  }

  #forget(key: string): void {
    const held = this.#leases.get(key);
    if (held === undefined) return;
    this.#leases.delete(key);
    this.#uncharged.get(held.job)?.delete(key);
    if (held.claim === null) return;
    refund(held.node, held.claim);
    if (held.open !== null) addUsage(this.#usageOf(held.open.tenant), held.open.demand, -1);
  }

  #giveBack(node: FleetNode, job: OpenJob, claim: Claim): void {
    refund(node, claim);
    node.freeSlots += 1;
    addUsage(this.#usageOf(job.tenant), job.demand, -1);
  }

  #undo(): void {
    for (const { node, job, claim } of this.#provisional.splice(0)) this.#giveBack(node, job, claim);
  }

  /** Jobs of which nothing is left to place, or nothing fits, stay out of the next rounds. */
  #setAside(leases: readonly Lease[], drawn: readonly Draw[], candidates: readonly Candidate[]): void {
    const wanted = new Map<string, { shards: number; attempts: number }>();
    for (const { job, wanted: n } of candidates) {
      const sum = wanted.get(job) ?? { shards: 0, attempts: 0 };
      wanted.set(job, { shards: sum.shards + 1, attempts: sum.attempts + n });
    }
    const leased = new Map<string, number>();
    for (const { job } of leases) leased.set(job, (leased.get(job) ?? 0) + 1);
    for (const { jobs, limit } of drawn) {
      let room = limit;
      for (const job of jobs) {
        const seen = wanted.get(job) ?? { shards: 0, attempts: 0 };
        const placed = leased.get(job) ?? 0;
        // All of its shards that want attempts were looked at.
        if (seen.shards < room && placed === seen.attempts) this.#exhausted.add(job);
        else if (placed === 0 && this.#unplaced.has(job)) this.#stuck.add(job);
        room -= seen.shards;
        if (room <= 0) break;
      }
    }
  }
}

/** Jobs of one tenant that one round looks at. */
const JOBS_PER_DRAW = 64;
/** Jobs that one round holds against the nodes; the others wait for the next. */
const LOOKS_PER_DRAW = 512;
/** Shards of each tenant that a round looks at beyond its share. */
const SPARE = 8;
const NO_BARS: ShardBars = { devices: new Set(), sites: new Set() };

export interface PlaceOptions {
  readonly at: number;
  readonly random: () => number;
  /** No further shard once so many attempts were handed out. */
  readonly limit?: number;
}

interface Held {
  readonly job: string;
  /** Null as long as its job has not said what it needs. */
  open: OpenJob | null;
  readonly node: FleetNode;
  claim: Claim | null;
}

interface Provisional {
  readonly shardId: number;
  readonly node: FleetNode;
  readonly job: OpenJob;
  readonly claim: Claim;
}

function barsOf(candidate: Candidate, job: OpenJob, nodes: ReadonlyMap<string, FleetNode>) {
  const sites = new Set<string>();
  if (job.demand.constraints.spread === 'site') {
    for (const device of candidate.barred) {
      const site = nodes.get(device)?.site;
      if (site !== undefined && site !== null) sites.add(site);
    }
  }
  return { devices: new Set(candidate.barred), sites };
}

function least<T>(items: readonly T[], measure: (item: T) => number): T {
  let best = items[0];
  let low = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const value = measure(item);
    if (value < low) {
      low = value;
      best = item;
    }
  }
  if (best === undefined) throw new Error('the least of nothing');
  return best;
}
