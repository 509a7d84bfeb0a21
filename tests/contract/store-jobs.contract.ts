import { SHARD_STATES } from '#actors/contract/job-states.ts';
import { describe, expect, it } from 'vitest';

import { partitionOf } from '#actors/store/partition.ts';
import { StaleEpoch, type ManifestRow } from '#actors/store/store.ts';
import { JOB, jobId, object, type OpenStore, Scene, spec } from './store-scene.ts';

const MERGE = { module: object('merge') };

export function storeJobsContract(open: OpenStore): void {
  describe('jobs', () => {
    it('are created with all their shards; the merge shard comes last and is blocked', async () => {
      const scene = await Scene.open(open);
      const job = await scene.queuedJob({ shards: { count: 3 }, quorum: 2, merge: MERGE });
      const expected = {
        id: JOB,
        partition: partitionOf(JOB),
        tenant: 'acme',
        submittedBy: 'ann',
        spec: spec({ shards: { count: 3 }, quorum: 2, merge: MERGE }),
        state: 'queued',
        reason: null,
        submittedAt: 1_000,
        finishedAt: null,
      };
      expect(job).toEqual(expected);
      expect(await scene.store.findJob(JOB)).toEqual(expected);
      const shards = await scene.store.shardsOf(JOB);
      expect(shards.map(({ index, state, wanted, failures, output }) => [index, state, wanted, failures, output])).toEqual([
        [0, 'pending', 2, 0, null],
        [1, 'pending', 2, 0, null],
        [2, 'pending', 2, 0, null],
        [3, 'blocked', 2, 0, null],
      ]);
    });

    it('sent twice, also at once, are made once', async () => {
      const scene = await Scene.open(open);
      const submit = () => scene.store.createJob({ id: JOB, tenant: 'acme', submittedBy: 'ann', spec: spec(), at: 1 }, scene.epoch());
      const answers = await Promise.all([submit(), submit(), submit()]);
      answers.push(await submit());
      expect(answers.filter(({ created }) => created)).toHaveLength(1);
      for (const { job } of answers) expect(job).toEqual(answers[0]?.job);
      expect(await scene.store.shardsOf(JOB)).toHaveLength(1);
    });

    it('may have very many shards', async () => {
      const scene = await Scene.open(open);
      await scene.queuedJob({ shards: { count: 20_000 } });
      const shards = await scene.store.shardsOf(JOB);
      expect(shards.map(({ index }) => index)).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
    });

    it('keep a spec with the oddest strings as it was', async () => {
      const scene = await Scene.open(open);
      const odd = { name: 'nul \0, lone \ud800, 😀', args: ['\\', '"', '\u2028'] };
      await scene.queuedJob(odd);
      expect((await scene.store.findJob(JOB))?.spec).toEqual(spec(odd));
    });

    it('are listed newest first, for one tenant or all', async () => {
      const scene = await Scene.open(open);
      await scene.queuedJob({}, { id: jobId(1), at: 10 });
      await scene.queuedJob({}, { id: jobId(2), at: 30, tenant: 'other' });
      await scene.queuedJob({}, { id: jobId(3), at: 20 });
      const ids = async (tenant: string | null, limit: number) => (await scene.store.listJobs(tenant, limit)).map(({ id }) => id);
      expect(await ids(null, 9)).toEqual([jobId(2), jobId(3), jobId(1)]);
      expect(await ids('acme', 9)).toEqual([jobId(3), jobId(1)]);
      expect(await ids(null, 1)).toEqual([jobId(2)]);
    });

    it('are open until they are done, failed or cancelled', async () => {
      const scene = await Scene.open(open);
      const states = ['queued', 'running', 'paused', 'sealing', 'failed', 'cancelled'] as const;
      for (const [n, state] of states.entries()) {
        await scene.queuedJob({}, { id: jobId(n), at: n });
        if (state !== 'queued') await scene.move(['queued'], state, jobId(n));
      }
      const all = [...scene.epochs.keys()];
      const expected = [0, 1, 2, 3].map((n) => ({ id: jobId(n), partition: partitionOf(jobId(n)) }));
      expect(await scene.store.openJobs(all)).toEqual(expected);
      const other = all.filter((partition) => partition !== partitionOf(jobId(0)));
      expect(await scene.store.openJobs(other)).toEqual(expected.filter(({ partition }) => partition !== partitionOf(jobId(0))));
    });

    it('that do not exist are simply not there', async () => {
      const { store, ...scene } = await Scene.open(open);
      for (const id of [jobId(77), 'not-a-job', '']) {
        const epoch = scene.epochs.get(partitionOf(id)) ?? 0;
        expect(await store.findJob(id)).toBeNull();
        expect(await store.activateJob(id, epoch)).toBeNull();
        expect(await store.moveJob(id, epoch, ['queued'], 'running', null, 1)).toBe(false);
        expect(await store.unblockMerge(id, epoch)).toBe(false);
        expect(await store.seal({ job: id, body: '{}', signature: '', sealedAt: 1 }, epoch)).toBe(false);
        expect(await store.findManifest(id)).toBeNull();
        expect([...(await store.shardsOf(id)), ...(await store.attemptsOf(id, null)), ...(await store.votesOf(id, null))]).toEqual([]);
        expect(await store.tallyJobs([id])).toEqual(new Map());
      }
    });

    it('are tallied by shard state and counting votes', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 4 }, quorum: 2, merge: MERGE });
      await scene.queuedJob({ shards: { count: 7 } }, { id: jobId(2) });
      const [first, second, third] = await scene.claim(['a'], { limit: 3 });
      if (!first || !second || !third) throw new Error('leases are missing');
      await scene.store.commit([scene.vote(first), scene.vote(second, 'accept'), scene.refuse(third)]);
      const none = { pending: 0, leased: 0, voting: 0, provisional: 0, sealed: 0, failed: 0, blocked: 0 };
      expect(await scene.store.tallyJobs([JOB, jobId(2)])).toEqual(
        new Map([
          [JOB, { counts: { ...none, pending: 1, leased: 1, voting: 1, provisional: 1, blocked: 1 }, votes: 2 }],
          [jobId(2), { counts: { ...none, pending: 7 }, votes: 0 }],
        ]),
      );
    });

    it('are activated with their shards, open attempts and open votes', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 5 }, quorum: 2 });
      const leases = await scene.claim(['a']);
      const [leased, suspect, voted, released, accepted] = leases;
      if (!leased || !suspect || !voted || !released || !accepted) throw new Error('leases are missing');
      await scene.store.commit([
        scene.end(suspect, 'suspect'),
        scene.vote(voted),
        scene.end(released, 'released'),
        scene.vote(accepted, 'accept'),
        scene.refuse(leased, 'odd', { device: 'x' }),
      ]);
      const active = await scene.store.activateJob(JOB, scene.epoch());
      expect(active?.job).toEqual(await scene.store.findJob(JOB));
      const shards = await scene.store.shardsOf(JOB);
      expect(Array.from(active?.states ?? [], (code) => SHARD_STATES[code])).toEqual(shards.map(({ state }) => state));
      expect(active?.states).toEqual(await scene.store.shardStates(JOB));
      expect(active?.touched).toEqual(shards.filter(({ state, wanted }) => state !== 'provisional' && wanted !== 2));
      expect(active?.touched).not.toEqual([]);
      expect(active?.attempts.map(({ fence, state }) => [fence, state])).toEqual([
        [leased.fence, 'leased'],
        [suspect.fence, 'suspect'],
      ]);
      expect(active?.votes).toEqual([scene.voteRow(voted)]);
      expect(active?.voteCount).toBe(2);
    });
  });

  describe('a job moves', () => {
    it('only from where it is, and remembers why and when', async () => {
      const scene = await Scene.open(open);
      await scene.queuedJob();
      expect(await scene.move(['paused', 'running'], 'done')).toBe(false);
      expect(await scene.move(['running', 'queued'], 'paused', JOB, 'Ann said so')).toBe(true);
      expect(await scene.store.findJob(JOB)).toMatchObject({ state: 'paused', reason: 'Ann said so', finishedAt: null });
      expect(await scene.move(['paused'], 'running')).toBe(true);
      expect(await scene.store.findJob(JOB)).toMatchObject({ state: 'running', reason: null });
      const moves = await Promise.all(Array.from({ length: 4 }, () => scene.move(['running'], 'cancelled')));
      expect(moves.filter(Boolean)).toHaveLength(1);
      expect(await scene.store.findJob(JOB)).toMatchObject({ state: 'cancelled', finishedAt: 9_000 });
    });

    it.each(['cancelled', 'failed'] as const)('to %s and takes its attempts and claims with it', async (to) => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 4 }, quorum: 2, maxFailures: 1 });
      const [leased, suspect, expired, failing] = await scene.claim(['a']);
      if (!leased || !suspect || !expired || !failing) throw new Error('leases are missing');
      await scene.store.commit([scene.end(suspect, 'suspect'), scene.end(expired, 'expired'), scene.end(failing, 'failed')]);
      expect(await scene.move(['running'], to, JOB, 'enough')).toBe(true);
      const attempts = await scene.store.attemptsOf(JOB, null);
      expect(attempts.map(({ state, endedAt, reason }) => [state, endedAt, reason])).toEqual([
        ['released', 9_000, 'enough'],
        ['released', 9_000, 'enough'],
        ['released', 4_000, 'enough'],
        ['failed', 4_000, 'because'],
      ]);
      const shards = await scene.store.shardsOf(JOB);
      expect(shards.map(({ state, wanted }) => [state, wanted])).toEqual([
        ['leased', 0],
        ['leased', 0],
        ['leased', 0],
        [to === 'failed' ? 'failed' : 'leased', 0],
      ]);
      expect(await scene.claim(['b'])).toEqual([]);
      expect(
        (await scene.store.commit([scene.vote(leased), scene.vote(expired), scene.end(suspect, 'released')])).map((o) => o.applied),
      ).toEqual([false, false, false]);
      expect((await scene.shard()).wanted).toBe(0);
    });
  });

  it('that is queued takes the spec that its needs came to; one that has begun keeps its own', async () => {
    const scene = await Scene.open(open);
    const { spec } = await scene.queuedJob({ shards: { outputsOf: jobId(2), count: 2 } });
    expect(await scene.store.shardsOf(JOB)).toHaveLength(2);
    const resolved = { ...spec, needs: [jobId(2)], shards: { inputs: [object('a'), object('b')] } };
    expect(await scene.store.resolveSpec(JOB, scene.epoch(), resolved)).toBe(true);
    expect((await scene.store.findJob(JOB))?.spec).toEqual(resolved);
    expect(await scene.move(['queued'], 'running')).toBe(true);
    expect(await scene.store.resolveSpec(JOB, scene.epoch(), spec)).toBe(false);
    expect(await scene.store.resolveSpec(jobId(7), scene.epoch(jobId(7)), spec)).toBe(false);
    expect((await scene.store.findJob(JOB))?.spec).toEqual(resolved);
    await scene.store.takePartitions('coordinator-2');
    await expect(scene.store.resolveSpec(JOB, scene.epoch(), resolved)).rejects.toThrow(StaleEpoch);
  });

  describe('a merge shard', () => {
    it('is claimed only after it was unblocked, once', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 1 }, quorum: 2, merge: MERGE });
      expect((await scene.claim(['a', 'b', 'c'])).map(({ index }) => index)).toEqual([0, 0]);
      expect(await scene.store.unblockMerge(JOB, scene.epoch())).toBe(true);
      expect(await scene.store.unblockMerge(JOB, scene.epoch())).toBe(false);
      expect(await scene.shard(1)).toMatchObject({ state: 'pending', wanted: 2 });
      expect((await scene.claim(['a', 'b', 'c'])).map(({ index }) => index)).toEqual([1, 1]);
    });
  });

  describe('sealing', () => {
    const manifest: ManifestRow = { job: JOB, body: '{"job":"…"}', signature: 'signed', sealedAt: 8_000 };

    it('needs every shard provisional, then changes all of it at once', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 2 }, quorum: 1 });
      const leases = await scene.claim(['a']);
      const [first, second] = leases;
      if (!first || !second) throw new Error('leases are missing');
      await scene.one(scene.vote(first, 'accept'));
      expect(await scene.store.seal(manifest, scene.epoch())).toBe(false);
      expect(await scene.store.findManifest(JOB)).toBeNull();
      expect((await scene.shard(0)).state).toBe('provisional');
      await scene.one(scene.vote(second, 'accept'));
      expect(await scene.store.seal(manifest, scene.epoch())).toBe(true);
      expect(await scene.store.findManifest(JOB)).toEqual(manifest);
      expect((await scene.store.shardsOf(JOB)).map(({ state }) => state)).toEqual(['sealed', 'sealed']);
      expect(await scene.store.findJob(JOB)).toMatchObject({ state: 'done', finishedAt: 8_000 });
    });

    it('repeated is the same seal; another manifest is not', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 1 });
      await scene.one(scene.vote(await scene.lease('a'), 'accept'));
      const seals = await Promise.all([scene.store.seal(manifest, scene.epoch()), scene.store.seal(manifest, scene.epoch())]);
      expect(seals).toEqual([true, true]);
      expect(await scene.store.seal({ ...manifest, body: '{}' }, scene.epoch())).toBe(false);
      expect(await scene.store.findManifest(JOB)).toEqual(manifest);
    });

    it('is not for a cancelled job', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 1 });
      await scene.one(scene.vote(await scene.lease('a'), 'accept'));
      await scene.move(['running'], 'cancelled');
      expect(await scene.store.seal(manifest, scene.epoch())).toBe(false);
      expect((await scene.shard()).state).toBe('provisional');
    });

    it('closes its shards to votes; refusals are still kept', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const [winner, late] = await scene.claim(['a', 'b']);
      if (!winner || !late) throw new Error('leases are missing');
      await scene.one(scene.vote(winner, 'accept'));
      await scene.store.seal(manifest, scene.epoch());
      expect(await scene.one(scene.vote(late))).toEqual({ applied: false, shardState: 'sealed', failures: 0 });
      expect(await scene.one(scene.refuse(late, 'shard settled'))).toEqual({ applied: true, shardState: 'sealed', failures: 0 });
      expect((await scene.store.votesOf(JOB, 0)).map(({ refusal }) => refusal)).toEqual([null, 'shard settled']);
      expect(await scene.shard()).toMatchObject({ state: 'sealed', wanted: 0 });
    });
  });

  it('lets no coordinator write that lost its partitions', async () => {
    const scene = await Scene.open(open);
    const { store } = scene;
    await scene.runningJob({ shards: { count: 2 }, quorum: 1, merge: MERGE });
    const lease = await scene.lease('a');
    await store.takePartitions('coordinator-2');
    const writes: (() => Promise<unknown>)[] = [
      () => scene.queuedJob({}, { id: jobId(9) }),
      () => store.activateJob(JOB, scene.epoch()),
      () => scene.move(['running'], 'cancelled'),
      () => store.unblockMerge(JOB, scene.epoch()),
      () => store.seal({ job: JOB, body: '', signature: '', sealedAt: 1 }, scene.epoch()),
      () => scene.claim(['b']),
      () => store.commit([scene.vote(lease, 'accept')]),
      () => store.commit([scene.end(lease, 'failed')]),
      () => store.commit([scene.refuse(lease)]),
    ];
    for (const write of writes) await expect(write()).rejects.toThrow(StaleEpoch);
    expect(await store.findJob(jobId(9))).toBeNull();
    expect(await store.findJob(JOB)).toMatchObject({ state: 'running' });
    expect((await store.shardsOf(JOB)).map(({ state, wanted }) => [state, wanted])).toEqual([
      ['leased', 0],
      ['pending', 1],
      ['blocked', 1],
    ]);
    expect(await scene.attemptStates(null)).toEqual(['leased']);
    expect(await store.votesOf(JOB, null)).toEqual([]);
  });
}
