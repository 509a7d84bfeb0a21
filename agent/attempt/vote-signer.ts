import { batchVotes, type VoteBatch } from '#actors/contract/vote-batch.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';

/** Votes that finish this close to each other share a signature. */
const GATHER_MS = 5;
/** With this many nobody waits for more. */
const MOST = 256;

export interface SignedVote {
  readonly signature: string;
  readonly batch?: VoteBatch;
}

/** Signs what this machine votes: alone, or many at once when they finish together. */
export interface VoteSigner {
  sign(vote: Uint8Array): Promise<SignedVote>;
}

export interface VoteSignerOptions {
  readonly key: Pick<KeyPair, 'sign'>;
  /** Attempts that may run at once: with one there is nothing to wait for. */
  readonly slots: number;
  readonly after: (ms: number, run: () => void) => unknown;
}

export function createVoteSigner({ key, slots, after }: VoteSignerOptions): VoteSigner {
  let waiting: { readonly vote: Uint8Array; readonly signed: PromiseWithResolvers<SignedVote> }[] = [];

  function signAll(): void {
    const batch = waiting;
    waiting = [];
    const [first] = batch;
    if (first === undefined) return;
    // By itself a vote is signed as it always was.
    if (batch.length === 1) return first.signed.resolve({ signature: signatureOf(first.vote) });
    const { bytes, places } = batchVotes(
      batch.map(({ vote }) => vote),
      sha256,
    );
    const signature = signatureOf(bytes);
    for (const [n, { signed }] of batch.entries()) {
      const place = places[n];
      signed.resolve(place === undefined ? { signature } : { signature, batch: place });
    }
  }

  function signatureOf(bytes: Uint8Array): string {
    return Buffer.from(key.sign(bytes)).toString('hex');
  }

  return {
    sign(vote) {
      const signed = Promise.withResolvers<SignedVote>();
      waiting.push({ vote, signed });
      if (slots <= 1 || waiting.length >= MOST) signAll();
      else if (waiting.length === 1) after(GATHER_MS, signAll);
      return signed.promise;
    },
  };
}
