import type { FastifyInstance } from 'fastify';

import { RotateRequest, rotateBytes } from '#actors/contract/former-keys.ts';
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

  /** Both keys sign: the door takes no API key here either. */
  app.post('/api/rotate', async (request) => {
    const rotation = parse(RotateRequest, request.body);
    const { device, from, to, leave, enter } = rotation;
    if (!isAdmissibleKey(to)) throw new GridError('BAD_REQUEST', 'not a usable Ed25519 public key', { path: 'to' });
    const bytes = rotateBytes(rotation);
    for (const [path, signature, key] of [
      ['leave', leave, from],
      ['enter', enter, to],
    ] as const) {
      if (!verify(signature, bytes, key)) throw new GridError('BAD_REQUEST', `not a signature of this rotation by ${key}`, { path });
    }
    const known = await services.store.findDevice(device);
    // The machine lost our answer and asks again.
    if (known?.publicKey === to && known.state !== 'revoked') return { device };
    if (!(await services.store.rotateKey(device, { from, to }, host.clock.wall()))) {
      throw new GridError('CONFLICT', 'this is not the key of the device, or the new one is or was a key already', { path: 'from' });
    }
    services.log.info({ device }, 'key of a device replaced');
    return { device };
  });
}
