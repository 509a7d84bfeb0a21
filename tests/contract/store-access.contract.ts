import { describe, expect, it } from 'vitest';

import { PARTITIONS, StaleEpoch, type ApiKeyRow } from '#actors/store/store.ts';
import { CAPABILITIES, type OpenStore, Scene } from './store-scene.ts';

const KEY: ApiKeyRow = { id: 'key-1', tenant: 'acme', name: 'Ann', role: 'submitter', createdAt: 5, revokedAt: null };

export function storeAccessContract(open: OpenStore): void {
  describe('partitions', () => {
    it('are taken all at once, each with an epoch above the one before', async () => {
      const { store, epochs: first } = await Scene.open(open);
      expect([...first.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: PARTITIONS }, (_, i) => i));
      const second = await store.takePartitions('coordinator-2');
      for (const [partition, epoch] of first) expect(second.get(partition)).toBeGreaterThan(epoch);
    });

    it('taken by two coordinators at once belong to the later one only', async () => {
      const scene = await Scene.open(open);
      const taken = await Promise.all([scene.store.takePartitions('a'), scene.store.takePartitions('b')]);
      const works = await Promise.allSettled(
        taken.map((epochs) => {
          scene.epochs = epochs;
          return scene.queuedJob();
        }),
      );
      expect(works.map((work) => work.status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(works.find((work) => work.status === 'rejected')).toMatchObject({ reason: expect.any(StaleEpoch) });
    });
  });

  it('makes the cluster secret once, also when many ask at once', async () => {
    const { store } = await Scene.open(open);
    const secrets = await Promise.all(Array.from({ length: 5 }, () => store.clusterSecret()));
    const later = await store.clusterSecret();
    expect(later).toBeInstanceOf(Uint8Array);
    expect(later).toHaveLength(32);
    expect(new Set(later).size).toBeGreaterThan(8);
    for (const secret of secrets) expect(secret).toEqual(later);
  });

  describe('API keys', () => {
    it('are found by their hash until they are revoked', async () => {
      const { store } = await Scene.open(open);
      await store.createApiKey(KEY, 'hash-1');
      await store.createApiKey({ ...KEY, id: 'key-2', role: 'admin', createdAt: 4 }, 'hash-2');
      expect(await store.findApiKey('hash-1')).toEqual(KEY);
      expect(await store.findApiKey('hash-3')).toBeNull();
      expect(await store.revokeApiKey('key-1', 77)).toBe(true);
      expect(await store.revokeApiKey('key-1', 78)).toBe(false);
      expect(await store.revokeApiKey('key-9', 78)).toBe(false);
      expect(await store.findApiKey('hash-1')).toBeNull();
      expect(await store.listApiKeys()).toEqual([
        { ...KEY, id: 'key-2', role: 'admin', createdAt: 4 },
        { ...KEY, revokedAt: 77 },
      ]);
    });

    it('are never two with one id or one hash', async () => {
      const { store } = await Scene.open(open);
      await store.createApiKey(KEY, 'hash-1');
      await expect(store.createApiKey(KEY, 'hash-2')).rejects.toThrow();
      await expect(store.createApiKey({ ...KEY, id: 'key-2' }, 'hash-1')).rejects.toThrow();
      expect(await store.listApiKeys()).toHaveLength(1);
    });
  });

  describe('enrolment', () => {
    const device = (n: number) => ({ id: `dev-${n}`, name: `desk ${n}`, publicKey: `key-${n}` });
    const token = { hash: 'token', name: 'office', uses: 2, expiresAt: 10_000, createdAt: 0 };

    it('spends one use for each new device', async () => {
      const { store } = await Scene.open(open);
      await store.createEnrolmentToken(token);
      expect(await store.enrol('token', device(1), 1_000)).toEqual({
        ...device(1),
        state: 'enrolled',
        sessionEpoch: 0,
        capabilities: null,
        lastSeenAt: null,
        enrolledAt: 1_000,
        principal: 'token:token',
        trusted: false,
      });
      expect(await store.enrol('token', device(2), 999)).not.toBeNull();
      expect(await store.enrol('token', device(3), 1_000)).toBeNull();
      expect(await store.findDevice('dev-1')).toMatchObject(device(1));
      expect(await store.findDevice('dev-3')).toBeNull();
      expect((await store.listDevices()).map(({ id }) => id)).toEqual(['dev-2', 'dev-1']);
    });

    it('refuses unknown and expired tokens', async () => {
      const { store } = await Scene.open(open);
      await store.createEnrolmentToken(token);
      expect(await store.enrol('other', device(1), 1_000)).toBeNull();
      expect(await store.enrol('token', device(1), 10_000)).toBeNull();
      expect(await store.enrol('token', device(1), 9_999)).not.toBeNull();
    });

    it('lets no more devices in than a token has uses, however many come at once', async () => {
      const { store } = await Scene.open(open);
      await store.createEnrolmentToken({ ...token, uses: 3 });
      const answers = await Promise.all(Array.from({ length: 9 }, (_, n) => store.enrol('token', device(n), 1_000)));
      expect(answers.filter((answer) => answer !== null)).toHaveLength(3);
      expect(await store.listDevices()).toHaveLength(3);
    });

    it('answers the same device to a machine that lost the first answer', async () => {
      const { store } = await Scene.open(open);
      await store.createEnrolmentToken({ ...token, uses: 1 });
      const first = await store.enrol('token', device(1), 1_000);
      expect(await store.enrol('token', { ...device(1), id: 'dev-9' }, 20_000)).toEqual(first);
      await store.createEnrolmentToken({ ...token, hash: 'second', uses: 1 });
      expect(await store.enrol('second', { ...device(1), id: 'dev-9' }, 2_000)).toEqual(first);
      expect(await store.enrol('second', device(2), 2_000)).toBeNull();
      expect(await store.listDevices()).toHaveLength(1);
    });

    it('keeps a revoked machine out, and spends nothing on it', async () => {
      const { store } = await Scene.open(open);
      await store.createEnrolmentToken(token);
      await store.enrol('token', device(1), 1_000);
      await store.setDeviceState('dev-1', null, 'revoked', 1_500);
      expect(await store.enrol('token', device(1), 2_000)).toBeNull();
      expect(await store.enrol('token', device(2), 2_000)).not.toBeNull();
    });
  });

  describe('keys of devices', () => {
    const key = (n: number): string => n.toString(16).repeat(64).slice(0, 64);

    it('are replaced once, which fences the session, and never come back', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.enrolled('a', 'b');
      const from = (await store.findDevice('a'))?.publicKey ?? '';
      const other = (await store.findDevice('b'))?.publicKey ?? '';
      await store.openSession('a', CAPABILITIES, 2_000);
      expect(await store.rotateKey('a', { from, to: other }, 3_000), 'a key of another device').toBe(false);
      expect(await store.rotateKey('a', { from: other, to: key(9) }, 3_000), 'not its key').toBe(false);
      expect(await store.rotateKey('x', { from, to: key(9) }, 3_000)).toBe(false);
      expect(await store.rotateKey('a', { from, to: key(9) }, 3_000)).toBe(true);
      expect(await store.rotateKey('a', { from, to: key(9) }, 3_000), 'asked again').toBe(false);
      expect(await store.findDevice('a')).toMatchObject({ publicKey: key(9), sessionEpoch: 2 });
      expect(await store.beat([{ device: 'a', sessionEpoch: 1 }], 4_000)).toEqual(new Set());
      expect(await store.rotateKey('a', { from: key(9), to: from }, 5_000), 'a former key').toBe(false);
      expect(await store.rotateKey('b', { from: other, to: from }, 5_000), 'a former key of another').toBe(false);
      expect(await store.formerKeys()).toEqual([{ device: 'a', publicKey: from, reason: 'rotated', until: 0, at: 3_000 }]);
    });

    it('let nobody in again who holds an old one', async () => {
      const { store } = await Scene.open(open);
      const token = { hash: 'token', name: 'lab', uses: 3, expiresAt: 10_000, createdAt: 0 };
      await store.createEnrolmentToken(token);
      await store.enrol('token', { id: 'dev-1', name: 'one', publicKey: key(1) }, 1_000);
      expect(await store.rotateKey('dev-1', { from: key(1), to: key(2) }, 2_000)).toBe(true);
      expect(await store.enrol('token', { id: 'dev-2', name: 'thief', publicKey: key(1) }, 3_000)).toBeNull();
      expect(await store.listDevices()).toHaveLength(1);
    });

    it('end with their device, at the place where the log of manifests stands, and only once', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.enrolled('a');
      const publicKey = (await store.findDevice('a'))?.publicKey ?? '';
      expect(await store.setDeviceState('a', null, 'revoked', 5_000)).toBe(true);
      expect(await store.setDeviceState('a', null, 'revoked', 6_000)).toBe(true);
      expect(await store.setDeviceState('x', null, 'revoked', 6_000)).toBe(false);
      expect(await store.formerKeys()).toEqual([{ device: 'a', publicKey, reason: 'revoked', until: 0, at: 5_000 }]);
      expect(await store.rotateKey('a', { from: publicKey, to: key(3) }, 7_000), 'of a revoked device').toBe(false);
    });
  });

  describe('sessions', () => {
    it('fence the one before', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.enrolled('a', 'b');
      const first = await store.openSession('a', CAPABILITIES, 2_000);
      expect(first).toMatchObject({
        sessionEpoch: 1,
        attempts: [],
        device: { id: 'a', state: 'present', capabilities: CAPABILITIES, lastSeenAt: 2_000 },
      });
      await store.openSession('b', CAPABILITIES, 2_000);
      const beats = [
        { device: 'a', sessionEpoch: 1 },
        { device: 'b', sessionEpoch: 1 },
        { device: 'x', sessionEpoch: 1 },
      ];
      expect(await store.beat(beats, 3_000)).toEqual(new Set(['a', 'b']));
      expect(await store.openSession('a', CAPABILITIES, 4_000)).toMatchObject({ sessionEpoch: 2 });
      expect(await store.beat(beats, 5_000)).toEqual(new Set(['b']));
      expect(await store.findDevice('a')).toMatchObject({ lastSeenAt: 4_000, sessionEpoch: 2 });
      expect(await store.findDevice('b')).toMatchObject({ lastSeenAt: 5_000 });
      expect(await store.beat([], 6_000)).toEqual(new Set());
    });

    it('opened at once get different epochs', async () => {
      const scene = await Scene.open(open);
      await scene.enrolled('a');
      const sessions = await Promise.all(Array.from({ length: 5 }, () => scene.store.openSession('a', CAPABILITIES, 2_000)));
      expect(sessions.map((session) => session?.sessionEpoch ?? 0).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
    });

    it('are not for unknown and revoked devices', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.enrolled('a');
      expect(await store.openSession('x', CAPABILITIES, 2_000)).toBeNull();
      await store.openSession('a', CAPABILITIES, 2_000);
      expect(await store.setDeviceState('a', null, 'revoked', 3_000)).toBe(true);
      expect(await store.beat([{ device: 'a', sessionEpoch: 1 }], 4_000)).toEqual(new Set());
      expect(await store.setDeviceState('a', 1, 'present', 4_000)).toBe(false);
      expect(await store.openSession('a', CAPABILITIES, 4_000)).toBeNull();
      expect(await store.findDevice('a')).toMatchObject({ state: 'revoked' });
    });

    it('move the state of their own device, and only while they are the latest', async () => {
      const scene = await Scene.open(open);
      const { store } = scene;
      await scene.enrolled('a');
      await store.openSession('a', CAPABILITIES, 2_000);
      await store.openSession('a', CAPABILITIES, 2_000);
      expect(await store.setDeviceState('a', 1, 'absent', 3_000)).toBe(false);
      expect(await store.findDevice('a')).toMatchObject({ state: 'present' });
      expect(await store.setDeviceState('a', 2, 'absent', 3_000)).toBe(true);
      expect(await store.findDevice('a')).toMatchObject({ state: 'absent' });
      expect(await store.setDeviceState('x', null, 'draining', 3_000)).toBe(false);
    });

    it('leave a draining device draining', async () => {
      const scene = await Scene.open(open);
      await scene.enrolled('a');
      await scene.store.setDeviceState('a', null, 'draining', 1_500);
      expect(await scene.store.openSession('a', CAPABILITIES, 2_000)).toMatchObject({ device: { state: 'draining' } });
    });

    it('answer the attempts of the device that may still vote', async () => {
      const scene = await Scene.open(open);
      await scene.enrolled('a');
      await scene.runningJob({ shards: { count: 6 }, quorum: 2 });
      const mine = await scene.claim(['a']);
      await scene.claim(['b']);
      const [, suspect, expired, failed, voted, settled] = mine;
      if (!suspect || !expired || !failed || !voted || !settled) throw new Error('leases are missing');
      const other = (await scene.store.attemptsOf(settled.job, settled.index)).find(({ device }) => device === 'b');
      if (!other) throw new Error('the other lease is missing');
      await scene.store.commit([
        scene.end(suspect, 'suspect'),
        scene.end(expired, 'expired'),
        scene.end(failed, 'failed'),
        scene.vote(voted),
        scene.vote({ ...settled, fence: other.fence, device: 'b' }, 'accept'),
      ]);
      const session = await scene.store.openSession('a', CAPABILITIES, 2_000);
      expect(session?.attempts.map(({ index, state }) => [index, state])).toEqual([
        [0, 'leased'],
        [1, 'suspect'],
        [2, 'expired'],
      ]);
    });
  });

  it('keeps texts that PostgreSQL could not, with their bad characters replaced', async () => {
    const { store } = await Scene.open(open);
    await store.createApiKey({ ...KEY, name: 'nul \0 lone \ud800' }, 'hash-1');
    expect(await store.findApiKey('hash-1')).toMatchObject({ name: 'nul \ufffd lone \ufffd' });
  });
}
