import type { MikroORM } from '@mikro-orm/postgresql';

import { EnrolmentToken } from '../entities/access.ts';
import { principalOf } from '../principal.ts';
import { storableText } from '../storable-text.ts';

export interface NewEnrolmentToken {
  readonly hash: string;
  readonly name: string;
  readonly uses: number;
  readonly expiresAt: number;
  readonly createdAt: number;
  readonly owner?: string;
  readonly trusted?: boolean;
}

export async function createEnrolmentToken(orm: MikroORM, token: NewEnrolmentToken): Promise<void> {
  const { hash, name, uses, expiresAt, createdAt, owner, trusted = false } = token;
  const principal = principalOf(hash, owner);
  await orm.em.fork().insert(EnrolmentToken, { hash, name: storableText(name), usesLeft: uses, expiresAt, createdAt, principal, trusted });
}
