import { storableText } from './storable-text.ts';

/** Who vouches for the devices that come with a token: its owner, or the token itself when it has none. */
export function principalOf(tokenHash: string, owner: string | undefined): string {
  return owner === undefined ? `token:${tokenHash.slice(0, 16)}` : `owner:${storableText(owner)}`;
}
