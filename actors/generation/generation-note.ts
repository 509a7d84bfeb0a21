import { z } from 'zod';

import { MOST_NOTE, type GenerationRequest } from '#actors/contract/generation.ts';
import { Sha256, Signature } from '#actors/contract/primitives.ts';
import { canonicalBytes } from '#runtime/identity/canonical.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

/**
 * What a coordinator gives an agent to keep with an answer, so that the one after it can go on with the answer: whose it is, what was
 * said before this agent had it, and how it is shown. It comes back from a machine that nobody has to trust, so it is signed by the grid's
 * key and bound to the attempt and to the request.
 */
const NoteBody = z.strictObject({
  /** By which the answer is accounted: the first attempt's. */
  generation: z.uuid(),
  attempt: z.uuid(),
  model: z.string(),
  tenant: z.string(),
  apiKey: z.string(),
  moves: z.number().int().nonnegative(),
  /** What other devices said of it, in the pieces in which it was shown. */
  pieces: z.array(z.strictObject({ tokens: z.array(z.number()), text: z.string() })),
  /** Of the request, without the answer so far. */
  request: Sha256,
  /** The door's own words: how the answer is shown. */
  shown: z.string(),
});
export type GenerationNote = z.infer<typeof NoteBody>;

const Note = z.strictObject({ body: z.string(), signature: Signature });

function bytesOf(body: string): Uint8Array {
  // No other thing that the grid signs begins like this.
  return new TextEncoder().encode(`corpgrid generation note 1\n${body}`);
}

/** Null for text that cannot travel unchanged. */
function hashOf({ resume: _resume, ...request }: GenerationRequest): string | null {
  try {
    return sha256Hex(canonicalBytes(JSON.parse(JSON.stringify(request))));
  } catch {
    return null;
  }
}

/** Undefined when it is too long to be given away, or has text that would not come back as it is: such an answer ends with its coordinator. */
export function sealNote(key: KeyPair, note: Omit<GenerationNote, 'request'>, request: GenerationRequest): string | undefined {
  const hash = hashOf(request);
  if (hash === null) return undefined;
  const body = JSON.stringify({ ...note, request: hash });
  const text = JSON.stringify({ body, signature: Buffer.from(key.sign(bytesOf(body))).toString('hex') });
  return text.length > MOST_NOTE ? undefined : text;
}

export interface ReturnedNote {
  readonly generation: string;
  readonly model: string;
  readonly request: GenerationRequest;
  readonly note: string;
}

/** Null for one that this grid has not given away, or not with this attempt and this request. */
export function openNote(publicKey: string, { generation, model, request, note }: ReturnedNote): GenerationNote | null {
  const sealed = Note.safeParse(parsed(note));
  if (!sealed.success || !verify(sealed.data.signature, bytesOf(sealed.data.body), publicKey)) return null;
  const body = NoteBody.safeParse(parsed(sealed.data.body));
  if (!body.success) return null;
  const fits = body.data.attempt === generation && body.data.model === model && body.data.request === hashOf(request);
  return fits ? body.data : null;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
