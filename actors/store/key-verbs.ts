import type { FormerKey } from '#actors/contract/former-keys.ts';

/** Keys of devices as they change; part of the store. Setting a device's state to `revoked` ends its key. */
export interface KeyVerbs {
  /**
   * Gives a device another key and fences its session. False when `from` is not its key, when it is revoked, and when `to` is or
   * was the key of any device.
   */
  rotateKey(device: string, keys: { readonly from: string; readonly to: string }, at: number): Promise<boolean>;
  /** Keys that are no device's key any more, in the order in which they ended. */
  formerKeys(): Promise<readonly FormerKey[]>;
}
