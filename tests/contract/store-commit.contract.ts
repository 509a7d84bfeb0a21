import { describe, expect, it } from 'vitest';

import { PARTITIONS, type Change, type Lease } from '#actors/store/store.ts';
import { greedy, JOB, object, type OpenStore, Scene } from './store-scene.ts';

async function leased(scene: Scene, devices: readonly string[]): Promise<readonly [Lease, Lease, Lease]> {
  const [a, b, c] = await scene.claim(devices);
  if (!a || !b || !c) throw new Error('leases are missing');
  return [a, b, c];
}

export function storeCommitContract(open: OpenStore): void {
  describe('a vote', () => {
    it('counts, and what it decides is done with it', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      expect(await scene.one(scene.vote(a))).toEqual({ applied: true, shardState: 'voting', failures: 0 });
      expect(await scene.shard()).toMatchObject({ state: 'voting', wanted: 0, output: null });
      expect(await scene.one(scene.vote(b, 'another'))).toEqual({ applied: true, shardState: 'voting', failures: 0 });
      expect(await scene.shard()).toMatchObject({ state: 'voting', wanted: 1 });
      const output = object('winner', 9);
      expect(await scene.one(scene.vote(c, 'accept', { output, bytes: null }))).toEqual({
        applied: true,
        shardState: 'provisional',
        failures: 0,
      });
      expect(await scene.shard()).toMatchObject({ state: 'provisional', wanted: 0, output });
      expect(await scene.attemptStates()).toEqual(['voted', 'voted', 'voted']);
      expect((await scene.store.attemptsOf(JOB, 0)).map(({ endedAt }) => endedAt)).toEqual([3_000, 3_000, 3_000]);
      expect(await scene.store.votesOf(JOB, null)).toEqual([scene.voteRow(a), scene.voteRow(b), scene.voteRow(c, { output, bytes: null })]);
      expect(await scene.store.votesOf(JOB, 1)).toEqual([]);
      expect(await scene.claim(['d'])).toEqual([]);
    });

    it('that rests on votes which are not on record is not written, and its sender hears why', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b] = await leased(scene, ['a', 'b', 'c']);
      const rests = (change: Change, restsOn: number): Change => (change.type === 'vote' ? { ...change, restsOn } : change);
      expect(await scene.one(rests(scene.vote(a, 'accept'), 1))).toEqual({
        applied: false,
        shardState: 'leased',
        failures: 0,
        forgotten: true,
      });
      expect(await scene.shard()).toMatchObject({ state: 'leased', output: null });
      expect(await scene.attemptStates()).toEqual(['leased', 'leased', 'leased']);
      expect(await scene.store.votesOf(JOB, null)).toEqual([]);
      const both = [rests(scene.vote(a), 0), rests(scene.vote(b, 'accept'), 1)];
      expect((await scene.store.commit(both)).map(({ applied }) => applied)).toEqual([true, true]);
      // Repeated because its answer was lost: it counts as it did.
      expect((await scene.store.commit(both)).map(({ applied }) => applied)).toEqual([true, true]);
    });

    it('of a suspect or expired attempt counts; the attempt wanted in its place stays wanted', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      await scene.store.commit([scene.end(a, 'suspect'), scene.end(b, 'suspect'), scene.end(b, 'expired')]);
      expect((await scene.shard()).wanted).toBe(2);
      expect(await scene.one(scene.vote(a))).toMatchObject({ applied: true, shardState: 'voting' });
      expect(await scene.one(scene.vote(b))).toMatchObject({ applied: true, shardState: 'voting' });
      expect((await scene.shard()).wanted).toBe(2);
      expect(await scene.one(scene.vote(c, 'accept'))).toMatchObject({ applied: true, shardState: 'provisional' });
      expect((await scene.shard()).wanted).toBe(0);
    });

    it('that accepts leaves the other attempts as they are, and late ones are refused', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      await scene.store.commit([scene.end(b, 'expired'), scene.vote(a, 'accept')]);
      expect(await scene.attemptStates()).toEqual(['voted', 'expired', 'leased']);
      const late = [scene.vote(b), scene.vote(c, 'another'), scene.refuse(c, 'shard settled'), scene.end(b, 'failed')];
      expect((await scene.store.commit(late)).map(({ applied, shardState }) => [applied, shardState])).toEqual([
        [false, 'provisional'],
        [false, 'provisional'],
        [true, 'provisional'],
        [false, 'provisional'],
      ]);
      expect(await scene.shard()).toMatchObject({ state: 'provisional', wanted: 0, failures: 0 });
      expect(await scene.attemptStates()).toEqual(['voted', 'expired', 'refused']);
    });

    it('does not count from an ended attempt, another device, another shard or out of thin air', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 2 }, quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      await scene.store.commit([scene.end(a, 'failed'), scene.end(b, 'released')]);
      const other = (await scene.shard(1)).id;
      const outcomes = await scene.store.commit([
        scene.vote(a),
        scene.vote(b),
        scene.vote(c, 'accept', { device: 'x' }),
        scene.vote(c, 'accept', { shardId: other }),
        scene.vote(c, 'accept', { fence: { ...c.fence, epoch: c.fence.epoch + 1 } }),
        scene.vote(c, 'accept', { fence: { ...c.fence, seq: 2 ** 50 } }),
      ]);
      const unknown = { applied: false, shardState: null, failures: 0 };
      const ended = { applied: false, shardState: 'leased', failures: 1 };
      expect(outcomes).toEqual([ended, ended, unknown, unknown, unknown, unknown]);
      expect(await scene.store.votesOf(JOB, null)).toEqual([]);
      expect(await scene.one(scene.vote(c))).toMatchObject({ applied: true });
    });

    it('counts once for each device of a shard', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const first = await scene.lease('a');
      await scene.one(scene.end(first, 'expired'));
      const second = await scene.lease('a');
      expect((await scene.store.commit([scene.vote(second), scene.vote(first)])).map(({ applied }) => applied)).toEqual([true, false]);
      expect(await scene.one(scene.vote(first, 'accept'))).toEqual({ applied: false, shardState: 'voting', failures: 0 });
      expect(await scene.store.votesOf(JOB, 0)).toHaveLength(1);
      expect(await scene.attemptStates()).toEqual(['expired', 'voted']);
    });

    it('repeated changes nothing more', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      const batch = [scene.vote(a, 'another'), scene.vote(a, 'another'), scene.end(b, 'failed'), scene.refuse(c)];
      // The batch as it is, as after a commit whose answer was lost.
      const first = await scene.store.commit(batch);
      const before = [await scene.shard(), await scene.store.attemptsOf(JOB, 0), await scene.store.votesOf(JOB, 0)];
      const second = await scene.store.commit(batch);
      expect(first.map(({ applied }) => applied)).toEqual([true, true, true, true]);
      expect(second.map(({ applied }) => applied)).toEqual([true, true, false, true]);
      expect([await scene.shard(), await scene.store.attemptsOf(JOB, 0), await scene.store.votesOf(JOB, 0)]).toEqual(before);
      expect(await scene.shard()).toMatchObject({ wanted: 3, failures: 1 });
      await scene.one(scene.vote(await scene.lease('d'), 'accept'));
      expect(await scene.one(scene.vote(a, 'another'))).toEqual({ applied: true, shardState: 'provisional', failures: 1 });
      expect((await scene.shard()).wanted).toBe(0);
    });
  });

  describe('an attempt that ends without a vote', () => {
    const cases = [
      { path: ['suspect'], wanted: 1, failures: 0, applied: [true] },
      { path: ['expired'], wanted: 1, failures: 0, applied: [true] },
      { path: ['failed'], wanted: 1, failures: 1, applied: [true] },
      { path: ['released'], wanted: 1, failures: 0, applied: [true] },
      { path: ['suspect', 'suspect'], wanted: 1, failures: 0, applied: [true, false] },
      { path: ['suspect', 'expired'], wanted: 1, failures: 0, applied: [true, true] },
      { path: ['suspect', 'failed'], wanted: 1, failures: 1, applied: [true, true] },
      { path: ['suspect', 'released'], wanted: 1, failures: 0, applied: [true, true] },
      { path: ['expired', 'suspect'], wanted: 1, failures: 0, applied: [true, false] },
      { path: ['expired', 'failed'], wanted: 1, failures: 0, applied: [true, false] },
      { path: ['failed', 'failed'], wanted: 1, failures: 1, applied: [true, false] },
      { path: ['released', 'expired'], wanted: 1, failures: 0, applied: [true, false] },
    ] as const;

    it.each(cases)('$path: its shard wants one more, once', async ({ path, wanted, failures, applied }) => {
      for (const together of [true, false]) {
        const scene = await Scene.open(open);
        await scene.runningJob({ quorum: 1 });
        const lease = await scene.lease('a');
        const changes = path.map((state) => scene.end(lease, state, `it is ${state}`));
        const outcomes = together ? await scene.store.commit(changes) : await oneByOne(scene, changes);
        expect(outcomes.map((outcome) => outcome.applied)).toEqual(applied);
        expect(await scene.shard()).toMatchObject({ state: 'leased', wanted, failures });
        const last = path.findLast((_, n) => applied[n]);
        const [attempt] = await scene.store.attemptsOf(JOB, 0);
        expect(attempt).toMatchObject({ state: last, reason: `it is ${last}`, endedAt: last === 'suspect' ? null : 4_000 });
      }
    });

    it('after its vote, or of no lease at all, has no effect', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const lease = await scene.lease('a');
      const unknown = { ...scene.end(lease, 'failed'), fence: { ...lease.fence, seq: 2 ** 50 } } as Change;
      expect(await scene.store.commit([scene.vote(lease), scene.end(lease, 'failed'), unknown])).toEqual([
        { applied: true, shardState: 'voting', failures: 0 },
        { applied: false, shardState: 'voting', failures: 0 },
        { applied: false, shardState: null, failures: 0 },
      ]);
      expect(await scene.shard()).toMatchObject({ wanted: 1, failures: 0 });
    });

    it('on an accepted shard ends, and wants and counts nothing', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      await scene.store.commit([scene.vote(a, 'accept'), scene.end(b, 'failed'), scene.end(c, 'released')]);
      expect(await scene.shard()).toMatchObject({ state: 'provisional', wanted: 0, failures: 0 });
      expect(await scene.attemptStates()).toEqual(['voted', 'failed', 'released']);
    });
  });

  describe('a refused vote', () => {
    it('is kept, never counts, and uses its attempt up', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const [a, b] = await scene.claim(['a', 'b']);
      if (!a || !b) throw new Error('leases are missing');
      expect(await scene.one(scene.refuse(a, 'wrong hash'))).toEqual({ applied: true, shardState: 'leased', failures: 0 });
      expect(await scene.shard()).toMatchObject({ state: 'leased', wanted: 1 });
      expect(await scene.store.attemptsOf(JOB, 0)).toMatchObject([
        { state: 'refused', endedAt: 3_000, reason: 'wrong hash' },
        { state: 'leased' },
      ]);
      expect(await scene.store.votesOf(JOB, 0)).toEqual([scene.voteRow(a, { refusal: 'wrong hash' })]);
      expect(await scene.one(scene.vote(a))).toMatchObject({ applied: false });
      await scene.store.commit([scene.end(b, 'suspect'), scene.refuse(b)]);
      expect(await scene.shard()).toMatchObject({ state: 'leased', wanted: 2 });
      expect(await scene.attemptStates()).toEqual(['refused', 'refused']);
    });

    it('with a fence that it does not own ends nothing', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const a = await scene.lease('a');
      const changes = [
        scene.refuse(a, 'not yours', { device: 'x' }),
        scene.refuse(a, 'no such lease', { fence: { epoch: a.fence.epoch, seq: 2 ** 50 }, shardId: 0, index: 2 ** 40 }),
      ];
      expect((await scene.store.commit(changes)).map(({ applied, shardState }) => [applied, shardState])).toEqual([
        [true, 'leased'],
        [true, null],
      ]);
      expect(await scene.attemptStates()).toEqual(['leased']);
      expect((await scene.shard()).wanted).toBe(1);
      expect((await scene.store.votesOf(JOB, null)).map(({ refusal, index }) => [refusal, index])).toEqual([
        ['not yours', 0],
        ['no such lease', 2 ** 40],
      ]);
    });

    it('stands beside the vote that counts with the same fence, and beside other refusals', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const a = await scene.lease('a');
      await scene.one(scene.vote(a));
      await scene.store.commit([scene.refuse(a, 'replayed', { at: 3_001 }), scene.refuse(a, 'replayed', { at: 3_002 })]);
      await scene.one(scene.refuse(a, 'replayed', { at: 3_002 }));
      expect((await scene.store.votesOf(JOB, 0)).map(({ refusal, at }) => [refusal, at])).toEqual([
        [null, 3_000],
        ['replayed', 3_001],
        ['replayed', 3_002],
      ]);
      expect(await scene.attemptStates()).toEqual(['voted']);
    });
  });

  describe('a commit', () => {
    it('of nothing does nothing', async () => {
      const { store } = await Scene.open(open);
      expect(await store.commit([])).toEqual([]);
    });

    it('applies changes in their order and answers in it', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      const outcomes = await scene.store.commit([
        scene.end(a, 'suspect'),
        scene.vote(a),
        scene.vote(b, 'accept'),
        scene.vote(c),
        scene.end(c, 'expired'),
        scene.vote(b),
      ]);
      expect(outcomes.map(({ applied, shardState }) => [applied, shardState])).toEqual([
        [true, 'leased'],
        [true, 'voting'],
        [true, 'provisional'],
        [false, 'provisional'],
        [true, 'provisional'],
        [true, 'provisional'],
      ]);
    });

    it('writes nothing when one of its partitions is stale', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const lease = await scene.lease('a');
      const stale = { ...scene.end(lease, 'failed'), partition: (lease.partition + 1) % PARTITIONS, epoch: 0 } as Change;
      await expect(scene.store.commit([scene.vote(lease), stale])).rejects.toThrow();
      expect(await scene.store.votesOf(JOB, null)).toEqual([]);
      expect(await scene.attemptStates()).toEqual(['leased']);
    });

    it('does not touch a shard under the name of another partition', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 2 });
      const lease = await scene.lease('a');
      const partition = (lease.partition + 1) % PARTITIONS;
      const epoch = scene.epochs.get(partition) ?? 0;
      expect(await scene.one({ ...scene.vote(lease, 'accept'), partition, epoch })).toEqual({
        applied: false,
        shardState: null,
        failures: 0,
      });
      expect(await scene.attemptStates()).toEqual(['leased']);
    });

    it('is not spoiled by one text that cannot be stored', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 3 });
      const [a, b, c] = await leased(scene, ['a', 'b', 'c']);
      const outcomes = await scene.store.commit([scene.vote(a), scene.end(b, 'failed', 'bad \0 text \ud800'), scene.refuse(c, 'worse \0')]);
      expect(outcomes.every(({ applied }) => applied)).toBe(true);
      expect((await scene.store.attemptsOf(JOB, 0)).map(({ reason }) => reason)).toEqual([null, 'bad \ufffd text \ufffd', 'worse \ufffd']);
    });

    it('beside others loses no vote and leaves no shard stuck (quorum 3, four committers)', async () => {
      const scene = await Scene.open(open);
      const shards = 120;
      await scene.runningJob({ shards: { count: shards }, quorum: 3 });
      const leases = await scene.claim(['a', 'b', 'c']);
      expect(leases).toHaveLength(3 * shards);
      // Votes of one shard lie in different batches, and the batches lock their shards from different ends.
      const shuffled = leases.toSorted((x, y) => ((x.fence.seq * 7_919) % 1_009) - ((y.fence.seq * 7_919) % 1_009));
      const batches = Array.from({ length: 24 }, (_, n) => shuffled.filter((_, i) => i % 24 === n));
      const committer = async (n: number): Promise<void> => {
        for (const batch of batches.filter((_, i) => i % 4 === n))
          await scene.store.commit(batch.map((lease) => scene.vote(lease, 'another')));
      };
      await Promise.all([committer(0), committer(1), committer(2), committer(3)]);
      for (const { state, wanted } of await scene.store.shardsOf(JOB)) expect([state, wanted]).toEqual(['voting', 3]);
      expect(new Set((await scene.store.votesOf(JOB, null)).map(({ shardId, device }) => `${shardId} ${device}`)).size).toBe(3 * shards);
      expect(await scene.attemptStates(null)).toEqual(leases.map(() => 'voted'));
    });

    it('beside others lets one vote accept, whoever is first', async () => {
      const scene = await Scene.open(open);
      const shards = 60;
      await scene.runningJob({ shards: { count: shards }, quorum: 3 });
      const leases = await scene.claim(['a', 'b', 'c']);
      const outcomes = await Promise.all(
        ['a', 'b', 'c'].map((device) =>
          scene.store.commit(
            leases.filter((lease) => lease.device === device).map((lease) => scene.vote(lease, 'accept', { output: object(device) })),
          ),
        ),
      );
      expect(outcomes.flat().filter(({ applied }) => applied)).toHaveLength(shards);
      const votes = await scene.store.votesOf(JOB, null);
      for (const shard of await scene.store.shardsOf(JOB)) {
        expect(shard).toMatchObject({ state: 'provisional', wanted: 0 });
        expect(votes.filter(({ index }) => index === shard.index).map(({ output }) => output)).toEqual([shard.output]);
      }
    });

    it('and a claim are in all of what an activation reads, or in nothing', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 150 }, quorum: 3 });
      const done = new AbortController();
      const work = async (device: string): Promise<void> => {
        for (
          let leases = await scene.claim([device], { limit: 5 });
          leases.length > 0;
          leases = await scene.claim([device], { limit: 5 })
        ) {
          await scene.store.commit(leases.map((lease) => scene.vote(lease)));
        }
      };
      const look = async (): Promise<void> => {
        while (!done.signal.aborted) {
          const active = await scene.store.activateJob(JOB, scene.epoch());
          if (!active) throw new Error('the job is missing');
          const tally = Array.from(active.states, () => 3);
          for (const { index, wanted } of active.touched) tally[index] = wanted;
          for (const { index } of [...active.attempts, ...active.votes]) tally[index] = (tally[index] ?? 0) + 1;
          expect(tally).toEqual(Array.from(active.states, () => 3));
          expect(active.voteCount).toBe(active.votes.length);
        }
      };
      const looking = look();
      await Promise.all([work('a'), work('b'), work('c')]).finally(() => done.abort());
      await looking;
    });

    it('of a failure makes its shard wait, twice as long after each, up to the most', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ quorum: 1 });
      const claimAt = (device: string, at: number) =>
        scene.store.claim({ epochs: scene.epochs, devices: [device], limit: 1, at, place: greedy([device]) });
      const fail = async (device: string, at: number): Promise<void> => {
        const [lease] = await claimAt(device, at);
        if (!lease) throw new Error('nothing leased');
        await scene.one({ ...scene.end(lease, 'failed'), at, pause: { firstMs: 100, mostMs: 300 } });
      };
      await fail('a', 1_000);
      expect((await scene.shard()).retryAt).toBe(1_100);
      expect(await claimAt('b', 1_099)).toEqual([]);
      await fail('b', 1_100);
      expect((await scene.shard()).retryAt).toBe(1_300);
      await fail('c', 1_300);
      expect((await scene.shard()).retryAt).toBe(1_600);
      expect(await scene.shard()).toMatchObject({ failures: 3, wanted: 1 });
    });

    it('beside claims keeps: wanted + leased + votes = quorum', async () => {
      const scene = await Scene.open(open);
      await scene.runningJob({ shards: { count: 40 }, quorum: 3, maxFailures: 100 });
      const worker = async (device: string, ends: readonly ('vote' | 'failed' | 'expired')[]): Promise<void> => {
        for (const end of ends) {
          const leases = await scene.claim([device], { limit: 10 });
          await scene.store.commit(leases.map((lease) => (end === 'vote' ? scene.vote(lease) : scene.end(lease, end))));
        }
      };
      await Promise.all([
        worker('a', ['vote', 'failed', 'vote', 'expired', 'vote']),
        worker('b', ['expired', 'vote', 'vote', 'failed']),
        worker('c', ['failed', 'failed', 'vote', 'vote']),
        worker('d', ['vote', 'expired', 'vote']),
      ]);
      const attempts = await scene.store.attemptsOf(JOB, null);
      for (const shard of await scene.store.shardsOf(JOB)) {
        const states = attempts.filter(({ index }) => index === shard.index).map(({ state }) => state);
        expect(shard.wanted + states.filter((state) => state === 'voted' || state === 'leased').length).toBe(3);
        expect(shard.failures).toBe(states.filter((state) => state === 'failed').length);
      }
      expect(attempts.filter(({ state }) => state === 'voted').length).toBeGreaterThan(0);
    });
  });
}

async function oneByOne(scene: Scene, changes: readonly Change[]) {
  const outcomes = [];
  for (const change of changes) outcomes.push(await scene.one(change));
  return outcomes;
}
