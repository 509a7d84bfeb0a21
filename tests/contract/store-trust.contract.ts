import { describe, expect, it } from 'vitest';

import { logLeaf } from '#actors/contract/log-leaf.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Change, Lease, Lesson } from '#actors/store/store.ts';
import { JOB, object, type OpenStore, Scene } from './store-scene.ts';

const APP = object('m').sha256;

/** One shard that goes by belief, and devices: two of one owner, one of another, one by a token alone, one trusted. */
async function believing(open: OpenStore): Promise<Scene> {
  const scene = await Scene.open(open);
  await enrol(scene, 'ann-1', { owner: 'ann' });
  await enrol(scene, 'ann-2', { owner: 'ann' });
  await enrol(scene, 'ben', { owner: 'ben' });
  await enrol(scene, 'cid', {});
  await enrol(scene, 'core', { trusted: true });
  await scene.runningJob({ trust: { maxError: 1e-3 } });
  return scene;
}

async function enrol(scene: Scene, name: string, who: { owner?: string; trusted?: boolean }): Promise<void> {
  const hash = `token of ${name}`;
  await scene.store.createEnrolmentToken({ hash, name, uses: 1, expiresAt: 10_000, createdAt: 0, ...who });
  expect(await scene.store.enrol(hash, { id: name, name, publicKey: `key of ${name}` }, 1_000)).not.toBeNull();
}

function taught(scene: Scene, lease: Lease, decision: 'none' | 'another' | 'core' | 'accept', learned: readonly Lesson[]): Change {
  const change = scene.vote(lease, decision === 'core' ? 'none' : decision);
  return change.type === 'vote' ? { ...change, decision, lessons: { app: APP, learned } } : change;
}

function reopen(scene: Scene, lease: Lease, core: 'audit' | 'dispute' | null): Change {
  const { partition, job, shardId } = lease;
  return { type: 'reopen', partition, epoch: scene.epoch(job), job, shardId, core, at: 5_000 };
}

const ALL = ['ann-1', 'ann-2', 'ben', 'cid', 'core'];

export function storeTrustContract(open: OpenStore): void {
  describe('devices', () => {
    it('are of the principal of their token, and trusted when it is', async () => {
      const { store } = await believing(open);
      const who = (await store.listDevices()).map(({ id, principal, trusted }) => [id, principal, trusted]);
      expect(who).toEqual([
        ['ann-1', 'owner:ann', false],
        ['ann-2', 'owner:ann', false],
        ['ben', 'owner:ben', false],
        ['cid', 'token:token of cid', false],
        ['core', 'token:token of core', true],
      ]);
    });
  });

  describe('a shard that goes by belief', () => {
    it('wants one attempt, and after a vote another one by another principal', async () => {
      const scene = await believing(open);
      const first = await scene.lease('ann-1');
      expect(await scene.shard()).toMatchObject({ state: 'leased', wanted: 0, coreOnly: false });
      expect(await scene.one(scene.vote(first, 'another'))).toMatchObject({ applied: true, shardState: 'voting' });
      expect(await scene.claim(['ann-1', 'ann-2'])).toEqual([]);
      const seen: { barred: readonly string[]; again: boolean | undefined }[] = [];
      const place = (candidates: readonly { barred: readonly string[]; again?: boolean; shardId: number }[]) => {
        seen.push(...candidates.map(({ barred, again }) => ({ barred: barred.toSorted(), again })));
        return candidates.map(({ shardId }) => ({ shardId, device: 'ben' }));
      };
      expect(await scene.claim(ALL, { place })).toMatchObject([{ device: 'ben' }]);
      expect(seen).toEqual([{ barred: ['ann-1', 'ann-2'], again: true }]);
    });

    it('goes to a trusted device only when nobody else may decide, and says what that found', async () => {
      const scene = await believing(open);
      const first = await scene.lease('ann-1');
      expect(await scene.one(taught(scene, first, 'core', []))).toMatchObject({ shardState: 'voting' });
      expect(await scene.shard()).toMatchObject({ wanted: 1, coreOnly: true });
      expect(await scene.claim(['ann-2', 'ben', 'cid'])).toEqual([]);
      expect(await scene.store.auditsOf(JOB)).toEqual([{ job: JOB, index: 0, reason: 'dispute', openedAt: 3_000, wrong: null }]);
      const core = await scene.lease('core');
      await scene.one(taught(scene, core, 'accept', [{ device: 'ann-1', kind: 'strike', why: 'wrong' }]));
      expect(await scene.shard()).toMatchObject({ state: 'provisional', coreOnly: false });
      expect(await scene.store.auditsOf(JOB)).toEqual([{ job: JOB, index: 0, reason: 'dispute', openedAt: 3_000, wrong: ['ann-1'] }]);
    });

    it('is accepted with another output than the last vote names', async () => {
      const scene = await believing(open);
      const change = scene.vote(await scene.lease('ann-1'), 'accept');
      const accepted = object('of somebody else', 7);
      await scene.one(change.type === 'vote' ? { ...change, accepted } : change);
      expect(await scene.shard()).toMatchObject({ state: 'provisional', output: accepted });
    });

    it('is not given to a device in quarantine until that is ended', async () => {
      const scene = await believing(open);
      const learned = [{ device: 'ben', kind: 'quarantine', why: 'it lied' }] as const;
      await scene.one(taught(scene, await scene.lease('ann-1'), 'another', learned));
      expect(await scene.claim(['ben'])).toEqual([]);
      expect(await scene.store.pardon('ben', APP, 6_000)).toBe(true);
      expect(await scene.store.pardon('ben', APP, 6_000)).toBe(false);
      expect(await scene.store.standings({ device: 'ben' })).toEqual([
        { app: APP, device: 'ben', a: 0.8, b: 0.2, results: 0, strikes: 0, quarantine: null, updatedAt: 6_000 },
      ]);
      expect(await scene.claim(['ben'])).toHaveLength(1);
    });
  });

  describe('a vote', () => {
    it('keeps its place in the batch that its device signed', async () => {
      const scene = await believing(open);
      const batch = { size: 3, index: 1, proof: ['a'.repeat(64), 'b'.repeat(64)] };
      const lease = await scene.lease('ann-1');
      await scene.one(scene.vote(lease, 'another', { batch }));
      expect(await scene.store.votesOf(JOB, 0)).toEqual([scene.voteRow(lease, { batch })]);
      const active = await scene.store.activateJob(JOB, scene.epoch());
      expect(active?.votes).toEqual([scene.voteRow(lease, { batch })]);
    });
  });

  describe('taking back', () => {
    it('opens what was accepted, for one more attempt, by a trusted device when asked', async () => {
      const scene = await believing(open);
      const first = await scene.lease('ann-1');
      await scene.one(scene.vote(first, 'accept'));
      expect(await scene.one(reopen(scene, first, null))).toEqual({ applied: true, shardState: 'voting', failures: 0 });
      expect(await scene.shard()).toMatchObject({ state: 'voting', wanted: 1, output: null, coreOnly: false });
      expect(await scene.store.auditsOf(JOB)).toEqual([]);
      await scene.one(scene.vote(await scene.lease('ben'), 'accept'));
      await scene.one(reopen(scene, first, 'audit'));
      expect(await scene.shard()).toMatchObject({ state: 'voting', wanted: 1, coreOnly: true });
      expect(await scene.store.auditsOf(JOB)).toMatchObject([{ reason: 'audit', wrong: null }]);
    });

    it('does nothing to shards that nobody accepted, and to those of other partitions', async () => {
      const scene = await believing(open);
      const lease = await scene.lease('ann-1');
      expect(await scene.one(reopen(scene, lease, null))).toMatchObject({ applied: false, shardState: 'leased' });
      await scene.one(scene.vote(lease, 'accept'));
      const foreign = { ...reopen(scene, lease, null), job: 'c0ffee00-0000-4000-8000-00000000ffff' } as Change;
      expect(await scene.one(foreign)).toMatchObject({ applied: false });
      expect(await scene.shard()).toMatchObject({ state: 'provisional' });
    });
  });

  describe('lessons', () => {
    it('are kept with the vote, in its order, and answered as they stand', async () => {
      const scene = await believing(open);
      const learned: Lesson[] = [
        { device: 'ann-1', kind: 'voted' },
        { device: 'ann-1', kind: 'agreed' },
        { device: 'ben', kind: 'agreed' },
        { device: 'ben', kind: 'strike', why: 'it differed' },
      ];
      const outcome = await scene.one(taught(scene, await scene.lease('ann-1'), 'accept', learned));
      const standings = [
        { app: APP, device: 'ann-1', a: 1.6, b: 0.2, results: 1, strikes: 0, quarantine: null, updatedAt: 3_000 },
        { app: APP, device: 'ben', a: 0.8, b: 1.2, results: 0, strikes: 1, quarantine: null, updatedAt: 3_000 },
      ];
      expect(outcome).toEqual({ applied: true, shardState: 'provisional', failures: 0, standings });
      expect(await scene.store.standings({ app: APP })).toEqual(standings);
      expect(await scene.store.standings({ device: 'ben' })).toEqual(standings.slice(1));
      expect(await scene.store.standings({ app: object('other').sha256 })).toEqual([]);
    });

    it('of a vote that came too late, or came twice, are not learned', async () => {
      const scene = await believing(open);
      const lease = await scene.lease('ann-1');
      const change = taught(scene, lease, 'accept', [{ device: 'ann-1', kind: 'voted' }]);
      await scene.store.commit([change]);
      await scene.store.commit([change]);
      expect(await scene.store.standings({ app: APP })).toMatchObject([{ results: 1 }]);
    });

    it('of committers beside each other are all learned', async () => {
      const scene = await believing(open);
      await scene.runningJob({ trust: { maxError: 1e-3 }, shards: { count: 40 } }, { id: 'c0ffee00-0000-4000-8000-0000000000aa' });
      const leases = await scene.claim(['cid']);
      expect(leases.length).toBe(41);
      const learned: Lesson[] = ALL.map((device) => ({ device, kind: 'agreed' }));
      await Promise.all(leases.map((lease) => scene.store.commit([taught(scene, lease, 'accept', learned)])));
      const standings = await scene.store.standings({ app: APP });
      expect(standings.map(({ device }) => device)).toEqual(ALL);
      for (const { a } of standings) expect(a).toBeCloseTo(0.8 + 41 * 0.8);
    });
  });

  describe('the log of manifests', () => {
    const manifest = (job: string, n: number) => ({ job, body: `{"n":${n}}`, signature: `${n}`.padStart(128, '0'), sealedAt: 8_000 + n });

    it('grows by one leaf with each seal, also of jobs that are sealed beside each other, and never twice by one', async () => {
      const scene = await Scene.open(open);
      const jobs = Array.from({ length: 6 }, (_, n) => `c0ffee00-0000-4000-8000-0000000000b${n}`);
      for (const id of jobs) {
        await scene.runningJob({ quorum: 1 }, { id });
        for (const lease of await scene.claim(['a'])) await scene.one(scene.vote(lease, 'accept'));
      }
      expect(await scene.store.manifestLog(null)).toEqual([]);
      expect(await scene.store.logPosition(JOB)).toBeNull();
      const seal = (id: string, n: number) => scene.store.seal(manifest(id, n), scene.epoch(id));
      expect(await Promise.all(jobs.map(seal))).toEqual(jobs.map(() => true));
      expect(await Promise.all(jobs.map(seal))).toEqual(jobs.map(() => true));
      const positions = await Promise.all(jobs.map((id) => scene.store.logPosition(id)));
      expect(positions.toSorted((a, b) => (a ?? -1) - (b ?? -1))).toEqual([0, 1, 2, 3, 4, 5]);
      const leaves = await scene.store.manifestLog(null);
      expect(leaves).toHaveLength(6);
      for (const [n, id] of jobs.entries()) expect(leaves[positions[n] ?? -1]).toEqual(new Uint8Array(logLeaf(manifest(id, n), sha256)));
      expect(await scene.store.manifestLog(2)).toEqual(leaves.slice(0, 2));
    });

    it('stands beside what decided about each result', async () => {
      const scene = await believing(open);
      await scene.one(scene.vote(await scene.lease('ann-1'), 'accept'));
      expect((await scene.shard()).decided).toBeUndefined();
      const decided = new Map([[0, { by: 'belief', belief: 0.999_125_5 } as const]]);
      await scene.store.noteDecided(JOB, scene.epoch(), decided);
      expect((await scene.shard()).decided).toEqual({ by: 'belief', belief: 0.999_125_5 });
      await scene.store.noteDecided(JOB, scene.epoch(), new Map([[0, null]]));
      expect((await scene.shard()).decided).toBeUndefined();
      await scene.store.noteDecided(JOB, scene.epoch(), decided);
      expect(await scene.store.seal(manifest(JOB, 1), scene.epoch())).toBe(true);
      // What is sealed stays as it was sealed.
      await scene.store.noteDecided(JOB, scene.epoch(), new Map([[0, null]]));
      expect((await scene.shard()).decided).toEqual({ by: 'belief', belief: 0.999_125_5 });
    });
  });
}
