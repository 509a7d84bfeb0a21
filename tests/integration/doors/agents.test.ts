import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';

import type { AgentHello, EnrolReply, FromAgent, ToAgent } from '#actors/contract/agent-link.ts';
import { UNKNOWN_VITALS } from '#actors/contract/vitals.ts';
import { enrolBytes } from '#actors/contract/enrolment.ts';
import { readCapabilities } from '#agent/telemetry/capabilities.ts';
import { realHost } from '#runtime/host.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import { endWithoutLeak } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { call, newToken, type Answered } from './visitors.ts';

describe('the agents’ doors', () => {
  let grid: Grid;

  beforeAll(async () => {
    grid = await startGrid();
  });
  afterAll(() => endWithoutLeak(grid));

  function enrolment(token: string, key: KeyPair, name = 'a machine'): { token: string; publicKey: string; name: string; proof: string } {
    const { publicKey } = key;
    return { token, publicKey, name, proof: Buffer.from(key.sign(enrolBytes({ token, publicKey, name }))).toString('hex') };
  }
  const enrol = (body: unknown): Promise<Answered> => call(grid.url, 'POST', '/api/enrol', { body });
  async function enrolled(key: KeyPair): Promise<string> {
    return ((await enrol(enrolment(await newToken(grid), key))).body as unknown as EnrolReply).device;
  }

  describe('enrolment', () => {
    it('refuses a token that is unknown, and says how to get one', async () => {
      const answer = await enrol(enrolment(`cgt_${'x'.repeat(32)}`, generateKeyPair()));
      expect(answer).toMatchObject({
        status: 401,
        body: { code: 'BAD_TOKEN', path: 'token', fix: expect.stringContaining('corpgrid tokens create') },
      });
    });

    it('takes a token as often as it was made for, also when all come at once', async () => {
      const token = await newToken(grid, 2);
      const answers = await Promise.all([1, 2, 3, 4].map(() => enrol(enrolment(token, generateKeyPair()))));
      expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([200, 200, 401, 401]);
      expect(answers.find((answer) => answer.status === 200)?.body).toEqual({
        device: expect.stringMatching(/^dev-[0-9a-z]{10}$/),
        gridKey: grid.gridKey,
      });
    });

    it('refuses who does not hold the key, and does not spend the token on him', async () => {
      const token = await newToken(grid);
      const [key, other] = [generateKeyPair(), generateKeyPair()];
      const good = enrolment(token, key);
      const bad = [
        { ...good, publicKey: other.publicKey },
        { ...good, proof: enrolment(token, other).proof },
        { ...good, name: 'another machine' },
        { ...good, proof: '00'.repeat(64) },
      ];
      for (const body of bad) expect(await enrol(body)).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST', path: 'proof' } });
      // The neutral element: anybody could sign for it.
      const small = { ...good, publicKey: `01${'00'.repeat(31)}` };
      expect(await enrol(small)).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST', path: 'publicKey' } });
      expect(await enrol({ ...good, proof: 'abc' })).toMatchObject({ status: 400, body: { path: 'proof' } });
      expect(await enrol({ token })).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST', path: 'publicKey' } });
      expect((await enrol(good)).status).toBe(200);
    });
  });

  describe('the link', () => {
    const address = (): URL => Object.assign(new URL('/agent', grid.url), { protocol: 'ws:' });

    interface Caller {
      readonly events: string[];
      readonly sockets: WebSocket[];
    }
    /** Dials as `device` with this key until the test ends. */
    function dial(device: string, key: KeyPair, options: { serverKey?: string; hello?: unknown } = {}): Caller {
      const events: string[] = [];
      const sockets: WebSocket[] = [];
      const hello: AgentHello = {
        capabilities: readCapabilities({ version: '0.0.0', slots: 1, models: [], takesModels: false, sequences: 1 }),
        vitals: UNKNOWN_VITALS,
        held: [],
        epochs: {},
      };
      const client = createLinkClient<ToAgent, FromAgent>({
        host: realHost(),
        connect: () => {
          const socket = new WebSocket(address(), { perMessageDeflate: false });
          sockets.push(socket);
          return wsSocket(socket);
        },
        peer: device,
        key,
        serverKey: options.serverKey ?? grid.gridKey,
        hello: () => options.hello ?? hello,
        decode: (raw) => raw as ToAgent,
        onOpen: () => void events.push('open'),
        onMessage: () => undefined,
        onSuspended: (reason) => void events.push(`suspended: ${reason}`),
        onRefused: (reason, final) => void events.push(final ? `refused for good: ${reason}` : 'refused'),
      });
      onTestFinished(() => client.close());
      return { events, sockets };
    }

    it('lets an enrolled device in', async () => {
      const key = generateKeyPair();
      const device = await enrolled(key);
      const { events } = dial(device, key);
      await waitUntil('the link is open', () => events.includes('open'));
      await waitUntil('the grid sees the device', async () => (await grid.client.device(device)).state === 'present');
    });

    it('refuses a device that nobody enrolled, and at last for good', async () => {
      const { events } = dial('dev-0000000000', generateKeyPair());
      await waitUntil('it is refused for good', () => events.at(-1) === 'refused for good: unauthenticated');
      expect(events).not.toContain('open');
    });

    it('refuses another key than the enrolled one', async () => {
      const device = await enrolled(generateKeyPair());
      const { events } = dial(device, generateKeyPair());
      await waitUntil('it is refused for good', () => events.at(-1) === 'refused for good: unauthenticated');
      expect(events).not.toContain('open');
      expect((await grid.client.device(device)).state).toBe('enrolled');
    });

    it('throws a revoked device out and lets it in no more', async () => {
      const key = generateKeyPair();
      const device = await enrolled(key);
      const { events } = dial(device, key);
      await waitUntil('the link is open', () => events.includes('open'));
      await waitUntil('the grid sees the device', async () => (await grid.client.device(device)).state === 'present');
      expect(await grid.client.deviceAction(device, 'revoke')).toMatchObject({ id: device, state: 'revoked' });
      await waitUntil('it is refused for good', () => events.at(-1) === 'refused for good: unauthenticated');
      expect(events.filter((event) => event === 'open')).toHaveLength(1);
      expect((await grid.client.device(device)).state).toBe('revoked');
    });

    it('does not talk to an agent that pinned another grid', async () => {
      const key = generateKeyPair();
      const { events } = dial(await enrolled(key), key, { serverKey: generateKeyPair().publicKey });
      await waitUntil('the agent turns away', () => events.length > 0);
      expect(events[0]).toBe('refused');
      expect(events).not.toContain('open');
    });

    it('ends the session of a hello that is none, and stays open for others', async () => {
      const key = generateKeyPair();
      const device = await enrolled(key);
      const { events } = dial(device, key, { hello: { capabilities: 'many' } });
      await waitUntil('the session is ended', () => events.some((event) => event.startsWith('suspended')));
      expect(events.find((event) => event.startsWith('suspended'))).toContain('hello');
      expect((await grid.client.device(device)).state).toBe('enrolled');
    });

    it('closes on whoever sends garbage, before the handshake and after it', async () => {
      const rubbish: (string | Uint8Array)[] = [
        'hello',
        new Uint8Array(0),
        new Uint8Array(100).fill(0xff),
        new Uint8Array(3 * 1024 * 1024),
      ];
      for (const bytes of rubbish) {
        const socket = new WebSocket(address());
        const closed = new Promise<number>((resolve) => socket.on('close', resolve));
        socket.on('error', () => undefined);
        await new Promise((resolve) => socket.once('open', resolve));
        socket.send(bytes);
        expect(await closed).toBeGreaterThan(0);
      }
      const key = generateKeyPair();
      const { events, sockets } = dial(await enrolled(key), key);
      await waitUntil('the link is open', () => events.includes('open'));
      sockets.at(-1)?.send(Uint8Array.of(1, 2, 3));
      await waitUntil('the broken session is replaced', () => events.filter((event) => event === 'open').length === 2);
    });

    it('answers an upgrade to anywhere else with the end of the socket', async () => {
      const socket = new WebSocket(Object.assign(new URL('/elsewhere', grid.url), { protocol: 'ws:' }));
      const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
      expect(error.message).toMatch(/socket hang up|ECONNRESET|Unexpected server response/);
      expect((await call(grid.url, 'GET', '/healthz')).status).toBe(200);
    });
  });
});
