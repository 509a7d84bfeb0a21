import { expect, it } from 'vitest';

import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import { trackStore } from '#actors/store/tracked-store.ts';

it('is idle only when every verb has settled, failed ones included', async () => {
  const gates = [Promise.withResolvers<[]>(), Promise.withResolvers<[]>()];
  let calls = 0;
  const slow = { ...createMemoryStore(), listDevices: () => gates[calls++]?.promise ?? Promise.resolve([]) };
  const { store, idle } = trackStore(slow);
  const first = store.listDevices();
  const second = store.listDevices().catch(() => 'failed');
  let isIdle = false;
  const waiting = idle().then(() => void (isIdle = true));
  gates[0]?.resolve([]);
  await first;
  expect(isIdle).toBe(false);
  gates[1]?.reject(new Error('gone'));
  expect(await second).toBe('failed');
  await waiting;
  expect(isIdle).toBe(true);
  await expect(store.listApiKeys()).resolves.toEqual([]);
});
