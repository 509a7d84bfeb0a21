import { StaleEpoch } from './store.ts';

/** True for the store's answer to a coordinator that lost the partition, also when it crossed a module boundary. */
export function isStaleEpoch(error: unknown): boolean {
  return error instanceof StaleEpoch || (error instanceof Error && error.name === 'StaleEpoch');
}
