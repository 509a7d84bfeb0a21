import { describe } from 'vitest';

import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import { storeContract } from './store.contract.ts';

describe('the memory store', () => {
  storeContract(async () => ({ store: createMemoryStore(), close: async () => undefined }));
});
