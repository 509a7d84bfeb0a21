import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { EnrolReply } from '#actors/contract/agent-link.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import { DeviceId, PublicKey } from '#actors/contract/primitives.ts';
import { GridError } from '#runtime/errors.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';

import { writeDurably } from './durable-file.ts';

/** `more` are the addresses of other coordinators of the same grid, for when the one at `url` does not answer. */
const Membership = z.strictObject({
  url: z.url(),
  more: z.array(z.url()).max(64).optional(),
  device: DeviceId,
  gridKey: PublicKey,
  name: z.string(),
});

/** Which grid this machine belongs to, as what, and the grid's key that it trusts from then on. */
export type Membership = z.infer<typeof Membership>;

const REPLY_LIMIT_MS = 15_000;

const Problem = z.object({ code: z.string(), message: z.string(), fix: z.string().optional() });

export async function readMembership(folder: string): Promise<Membership | null> {
  try {
    return Membership.parse(JSON.parse(await readFile(path.join(folder, 'grid.json'), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new GridError('BAD_CONFIGURATION', `${path.join(folder, 'grid.json')} cannot be read`, {
      fix: 'remove the state folder and enrol the machine anew',
      cause: error,
    });
  }
}

/** Keeps the address current: a grid may move, its key stays. */
export async function writeMembership(folder: string, membership: Membership): Promise<void> {
  await writeDurably(path.join(folder, 'grid.json'), JSON.stringify(membership));
}

/** Buys this machine its identity with a token. The key never leaves the machine; the signature proves that it is here. */
export async function enrol(options: {
  url: string;
  more?: readonly string[];
  token: string;
  name: string;
  key: KeyPair;
  folder: string;
}): Promise<Membership> {
  const { url, more = [], token, name, key, folder } = options;
  const proof = Buffer.from(key.sign(enrolBytes({ token, publicKey: key.publicKey, name }))).toString('hex');
  let response: Response;
  try {
    response = await fetch(new URL('/api/enrol', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, publicKey: key.publicKey, name, proof }),
      signal: AbortSignal.timeout(REPLY_LIMIT_MS),
    });
  } catch (error) {
    throw new GridError('UNREACHABLE', `no grid answers at ${url}`, {
      path: '--url',
      fix: 'check the address and that `corpgrid up` runs there',
      cause: error,
    });
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const problem = Problem.safeParse(body);
    const detail = problem.success && problem.data.fix !== undefined ? { path: '--token', fix: problem.data.fix } : { path: '--token' };
    throw new GridError('BAD_TOKEN', problem.success ? problem.data.message : `the grid answered ${response.status}`, detail);
  }
  const reply = EnrolReply.parse(body);
  const membership = { url, ...(more.length > 0 ? { more: [...more] } : {}), device: reply.device, gridKey: reply.gridKey, name };
  await writeMembership(folder, membership);
  return membership;
}
