import type { FastifyInstance } from 'fastify';

import { EnrolRequest, type EnrolReply } from '#actors/contract/agent-link.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import { secretHash } from '#actors/tenant/key.ts';
import { GridError } from '#runtime/errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { isAdmissibleKey } from '#runtime/identity/signature-law.ts';
import { verify } from '#runtime/identity/verify.ts';

import { parse } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ID_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** A token and a proof that the machine holds its key: the only door that takes no API key. */
export function enrolRoute(app: FastifyInstance, { services, host, randomBytes }: GatewayArgs): void {
  app.post('/api/enrol', async (request): Promise<EnrolReply> => {
    const { token, publicKey, name, proof } = parse(EnrolRequest, request.body);
    // A key of small order would let anybody sign for this device.
    if (!isAdmissibleKey(publicKey)) throw new GridError('BAD_REQUEST', 'not a usable Ed25519 public key', { path: 'publicKey' });
    if (!verify(proof, enrolBytes({ token, publicKey, name }), publicKey)) {
      throw new GridError('BAD_REQUEST', 'the proof is not a signature of this enrolment by publicKey', { path: 'proof' });
    }
    const id = `dev-${[...randomBytes(10)].map((b) => ID_ALPHABET[b % ID_ALPHABET.length]).join('')}`;
    const device = await services.store.enrol(secretHash(token, sha256), { id, name, publicKey }, host.clock.wall());
    if (device === null) {
      throw new GridError('BAD_TOKEN', 'the enrolment token is unknown, spent or expired', {
        path: 'token',
        fix: 'ask an administrator for a new one: `corpgrid tokens create`',
      });
    }
    services.log.info({ device: device.id, name: device.name }, 'device enrolled');
    return { device: device.id, gridKey: services.key.publicKey };
  });
}
