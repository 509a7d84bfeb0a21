import { leafHash, type Sha256Function } from './merkle.ts';

const encoder = new TextEncoder();

/** A manifest as the log holds it: its exact bytes and the signature over them, under a name of its own. */
export function logLeaf({ body, signature }: { readonly body: string; readonly signature: string }, sha256: Sha256Function): Uint8Array {
  return leafHash(encoder.encode(`corpgrid.log.v1\0${body}\0${signature}`), sha256);
}
