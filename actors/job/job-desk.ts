import { mapShardCount, maxErrorOf, needsOf, quorumOf, type JobSpec } from '#actors/contract/job-spec.ts';
import type { JobSnapshot, JobSummary, ShardDetail } from '#actors/contract/live.ts';
import { proveEntry, signHead } from '#actors/contract/manifest-log.ts';
import { MAX_INLINE_SHARDS, type ObjectRef } from '#actors/contract/primitives.ts';
import { leafHashOf, type Receipt, type ReceiptLeaf } from '#actors/contract/receipt.ts';
import { MAX_MODULE_BYTES, validateModule } from '#actors/contract/wasm-module.ts';
import { BARRING_ATTEMPT_STATES } from '#actors/store/shard-rules.ts';
import type { JobRow } from '#actors/store/store.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { Services } from '#actors/services.ts';
import { GridError } from '#runtime/errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import { explainPending } from './explain-pending.ts';
import { isFinal, ShardTable } from './job.state.ts';
import { jobSummary, noCounts } from './job-view.ts';
import { outputCount } from './job-needs.ts';
import type { JobDesk, JobsRef, Submitter } from './jobs.protocol.ts';
import { comparedOutputs, leavesOf, makeReceipts } from './manifest.ts';
import { readEvidence } from './read-evidence.ts';
import { partitionOf } from '#actors/store/partition.ts';

/** How long a question to one job may take. */
const ASK = { timeoutMs: 10_000 };
/** Objects looked up at once when a submission names many. */
const HEADS_AT_ONCE = 16;

export interface JobDeskArgs {
  readonly services: Services;
  readonly jobs: JobsRef;
  readonly placement: PlacementRef;
  readonly clock: Clock;
}

/** A spec may name another tenant when an administrator submits it. */
function tenantOf({ tenant }: JobSpec, by: Submitter): string {
  if (tenant === undefined || tenant === by.tenant) return by.tenant;
  if (by.role === 'admin') return tenant;
  throw new GridError('FORBIDDEN', `tenant: the key belongs to ${by.tenant}, not to ${tenant}`, {
    path: 'tenant',
    fix: 'leave tenant away, or use an admin key',
  });
}

/** The JobDesk of one coordinator. */
export function createJobDesk({ services, jobs, placement, clock }: JobDeskArgs): JobDesk {
  const { store, objects } = services;

  async function checkObject(path: string, ref: ObjectRef): Promise<void> {
    const stored = await objects.head(ref.sha256);
    const fix = 'upload it first: POST /api/objects answers where';
    if (stored === null) throw new GridError('OBJECT_MISSING', `${path}: object ${ref.sha256} was never uploaded`, { path, fix });
    if (stored.size !== ref.size) {
      throw new GridError('OBJECT_MISSING', `${path}: object ${ref.sha256} has ${stored.size} bytes, not ${ref.size}`, { path });
    }
  }

  /** Every object that the spec names must be there, and be as large as it says. */
  async function checkObjects(spec: JobSpec): Promise<void> {
    const named: { path: string; ref: ObjectRef }[] = [{ path: 'module', ref: spec.module }];
    if (spec.merge) named.push({ path: 'merge.module', ref: spec.merge.module });
    if ('inputs' in spec.shards) for (const [i, ref] of spec.shards.inputs.entries()) named.push({ path: `shards.inputs[${i}]`, ref });
    // Before the look: the sweep leaves them alone now.
    await store.recordObjects(named.map(({ ref }) => ref), clock.wall()); // prettier-ignore
    for (let i = 0; i < named.length; i += HEADS_AT_ONCE) {
      await Promise.all(named.slice(i, i + HEADS_AT_ONCE).map((n) => checkObject(n.path, n.ref)));
    }
  }

  /** The agents would refuse it too, each of them, after fetching it. */
  async function checkModule(path: string, ref: ObjectRef, memoryMiB: number): Promise<void> {
    if (ref.size > MAX_MODULE_BYTES)
      throw new GridError('BAD_BUNDLE', `the module has ${ref.size} bytes; ${MAX_MODULE_BYTES} are allowed`, { path });
    const opened = await objects.open(ref.sha256);
    if (opened === null) throw new GridError('OBJECT_MISSING', `object ${ref.sha256} is gone from the store`, { path });
    const chunks: Uint8Array[] = [];
    for await (const chunk of opened.stream) chunks.push(chunk as Uint8Array);
    const verdict = validateModule(Buffer.concat(chunks), { memoryMiB });
    if (!verdict.ok)
      throw new GridError('BAD_BUNDLE', verdict.reason, { path, fix: 'build it for WASI preview 1 without threads; examples/ shows how' });
  }

  /** Jobs that it needs must be there and may still become done; how many outputs it works on is known from them. */
  async function counted(spec: JobSpec, tenant: string): Promise<JobSpec> {
    const path = (id: string): string => {
      const at = spec.needs?.indexOf(id) ?? -1;
      return at < 0 ? 'shards.outputsOf' : `needs[${at}]`;
    };
    for (const id of needsOf(spec)) {
      const job = await store.findJob(id);
      const fix = '`corpgrid jobs` lists them';
      if (job === null || job.tenant !== tenant) throw new GridError('NOT_FOUND', `${path(id)}: no job ${id}`, { path: path(id), fix });
      if (job.state === 'failed' || job.state === 'cancelled') {
        const again = 'submit that one again, and name the new one';
        throw new GridError('CONFLICT', `${path(id)}: job ${id} is ${job.state}: it will never be done`, { path: path(id), fix: again });
      }
      if (!('outputsOf' in spec.shards) || spec.shards.outputsOf !== id) continue;
      const count = outputCount(job.spec);
      if (count > MAX_INLINE_SHARDS || (spec.shards.count ?? count) !== count) {
        const most = count > MAX_INLINE_SHARDS ? `; ${MAX_INLINE_SHARDS} are the most` : '';
        throw new GridError('BAD_SPEC', `shards.outputsOf: job ${id} has ${count} outputs${most}`, {
          path: 'shards.outputsOf',
          fix: count > MAX_INLINE_SHARDS ? 'give that job a merge step, or fewer shards' : 'leave shards.count away',
        });
      }
      return { ...spec, shards: { outputsOf: id, count } };
    }
    return spec;
  }

  async function rowOf(id: string, tenant: string | null): Promise<JobRow> {
    const job = await store.findJob(id);
    // Another tenant's job is not told apart from none: ids must not be probed.
    if (job === null || (tenant !== null && job.tenant !== tenant)) {
      throw new GridError('NOT_FOUND', `no job ${id}`, { fix: '`corpgrid jobs` lists them' });
    }
    return job;
  }

  async function storedSnapshot(job: JobRow): Promise<JobSnapshot> {
    const [states, tallies] = await Promise.all([store.shardStates(job.id), store.tallyJobs([job.id])]);
    const table = new ShardTable(states);
    return { seq: 0, summary: jobSummary(job, table.counts(), tallies.get(job.id)?.votes ?? 0, []), states: table.states };
  }

  /** The job's actor knows best while the job is open; it may end between the question and its answer. */
  async function liveSnapshot(id: string): Promise<JobSnapshot | null> {
    const ref = await jobs.find(id, ASK);
    return (await ref?.snapshot(undefined, ASK).catch(() => null)) ?? null;
  }

  async function outputsOf(id: string, tenant: string | null): Promise<{ index: number; ref: ObjectRef }[]> {
    await rowOf(id, tenant);
    const shards = await store.shardsOf(id);
    return shards.flatMap((s) => (s.output === null ? [] : [{ index: s.index, ref: s.output }])).sort((a, b) => a.index - b.index);
  }

  return {
    async submit(submission, by) {
      const { id } = submission;
      const tenant = tenantOf(submission.spec, by);
      const spec = await counted(submission.spec, tenant);
      await checkObjects(spec);
      await checkModule('module', spec.module, spec.limits.memoryMiB);
      if (spec.merge) await checkModule('merge.module', spec.merge.module, spec.limits.memoryMiB);
      const epoch = services.epochs.get(partitionOf(id));
      if (epoch === undefined) throw new GridError('UNREACHABLE', 'this coordinator does not own the partition of the job');
      const { job } = await store.createJob({ id, tenant, submittedBy: by.name, spec, at: clock.wall() }, epoch);
      if (job.tenant !== tenant) throw new GridError('CONFLICT', 'this job id is taken', { path: 'id', fix: 'use a fresh random UUID' });
      if (!isFinal(job.state)) jobs.created(id);
      return jobSummary(job, { ...noCounts(), pending: mapShardCount(spec), blocked: spec.merge ? 1 : 0 }, 0, []);
    },
    async control(id, action, tenant) {
      const job = await rowOf(id, tenant);
      const ref = await jobs.find(id, ASK);
      if (ref === null) throw new GridError('CONFLICT', `the job is ${job.state}: it cannot ${action} any more`);
      return ref.control(action, ASK);
    },
    async snapshot(id, tenant) {
      const job = await rowOf(id, tenant);
      return (await liveSnapshot(id)) ?? storedSnapshot((await store.findJob(id)) ?? job);
    },
    async shard(id, index, tenant): Promise<ShardDetail> {
      const job = await rowOf(id, tenant);
      const [shards, votes, attempts, devices] = await Promise.all([
        store.shardsOf(id, index),
        store.votesOf(id, index),
        store.attemptsOf(id, index),
        store.listDevices(),
      ]);
      const shard = shards.find((s) => s.index === index);
      if (shard === undefined) throw new GridError('NOT_FOUND', `job ${id} has no shard ${index}`);
      const names = new Map(devices.map((d) => [d.id, d.name]));
      const maxError = maxErrorOf(job.spec);
      return {
        job: id,
        index,
        state: shard.state,
        quorum: quorumOf(job.spec),
        ...(maxError === null ? {} : { maxError }),
        output: shard.output,
        votes: votes.map((v) => ({
          device: v.device,
          deviceName: names.get(v.device) ?? v.device,
          fence: v.fence,
          state: v.refusal === null ? 'accepted' : 'refused',
          reason: v.refusal,
          sha256: v.output.sha256,
          size: v.output.size,
          signature: v.signature,
          agrees: v.refusal === null && v.output.sha256 === shard.output?.sha256,
          at: v.at,
        })),
        attempts: attempts.map(({ fence, device, state, leasedAt, endedAt, reason }) => ({
          fence,
          device,
          deviceName: names.get(device) ?? device,
          state,
          leasedAt,
          endedAt,
          reason,
        })),
      };
    },
    async history(id, query, tenant) {
      await rowOf(id, tenant);
      const [rows, devices] = await Promise.all([store.historyOf(id, query), store.listDevices()]);
      const names = new Map(devices.map((d) => [d.id, d.name]));
      return rows.map(({ at, index, device, event, reason }) => {
        return { at, shard: index, device, deviceName: names.get(device) ?? device, event, reason };
      });
    },
    async why(id, index, tenant) {
      const job = await rowOf(id, tenant);
      const [devices, tallies, shards, attempts] = await Promise.all([
        store.listDevices(),
        store.tallyJobs([id]),
        index === null ? [] : store.shardsOf(id, index),
        index === null ? [] : store.attemptsOf(id, index),
      ]);
      const [shard] = shards;
      if (index !== null && shard === undefined) throw new GridError('NOT_FOUND', `job ${id} has no shard ${index}`);
      const barred = attempts.filter((a) => BARRING_ATTEMPT_STATES.includes(a.state)).map((a) => a.device);
      const blocks = job.state === 'running' ? await placement.blocks({ job: id, barred }, ASK) : null;
      const counts = tallies.get(id)?.counts;
      const pending = (counts?.pending ?? 0) + (counts?.blocked ?? 0);
      return explainPending({ job, shard: shard ?? null, pending, devices, blocks, at: clock.wall() });
    },
    outputs: outputsOf,
    async output(id, index, tenant) {
      await rowOf(id, tenant);
      const [shard] = await store.shardsOf(id, index);
      if (shard === undefined || shard.output === null)
        throw new GridError('NOT_FOUND', `shard ${index} of job ${id} has no accepted output yet`);
      const ref = shard.output;
      const votes = await store.votesOf(id, index);
      const inline = votes.find((v) => v.bytes !== null && v.refusal === null && v.output.sha256 === ref.sha256);
      return { ref, bytes: inline?.bytes ?? null };
    },
    async receipts(id, indexes, tenant) {
      const job = await rowOf(id, tenant);
      const manifest = await store.findManifest(id);
      if (manifest === null) throw new GridError('NOT_FOUND', `job ${id} is ${job.state}: receipts exist once it is done`);
      const wanted = indexes === 'all' ? null : new Set(indexes);
      const hashes: Uint8Array[] = [];
      const leaves: ReceiptLeaf[] = [];
      const outputs = new Map<number, Record<string, string>>();
      for await (const evidence of readEvidence(services, job)) {
        for (const leaf of leavesOf(evidence)) {
          hashes.push(leafHashOf(leaf, sha256));
          if (wanted !== null && !wanted.has(leaf.shard)) continue;
          leaves.push(leaf);
          const compared = comparedOutputs(leaf, evidence.votes);
          if (compared !== undefined) outputs.set(leaf.shard, compared);
        }
      }
      const receipts = makeReceipts(manifest, hashes, leaves).map((receipt): Receipt => {
        const compared = outputs.get(receipt.leaf.shard);
        return compared === undefined ? receipt : { ...receipt, outputs: compared };
      });
      const position = await store.logPosition(id);
      if (position === null) return receipts;
      // The log as it was right after this job was sealed: a receipt is the same whenever it is asked for.
      const entries = await store.manifestLog(position + 1);
      const log = proveEntry(entries, position, signHead(entries, { key: services.key, at: manifest.sealedAt, sha256 }), sha256);
      return receipts.map((receipt) => ({ ...receipt, log }));
    },
    async list(tenant, limit) {
      const rows = await store.listJobs(tenant, limit);
      const tallies = await store.tallyJobs(rows.map((r) => r.id));
      return rows.map((row): JobSummary => {
        const tally = tallies.get(row.id);
        return jobSummary(row, tally?.counts ?? noCounts(), tally?.votes ?? 0, []);
      });
    },
  };
}
