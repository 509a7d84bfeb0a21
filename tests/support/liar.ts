import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, totalmem } from 'node:os';
import path from 'node:path';

import { WebSocket } from 'ws';

import { type FromAgent, type RunCommand, ToAgent, type VoteMessage } from '#actors/contract/agent-link.ts';
import { type Fence, fenceText } from '#actors/contract/primitives.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { UNKNOWN_VITALS } from '#actors/contract/vitals.ts';
import { enrol } from '#agent/session/enrol.ts';
import { readCapabilities } from '#agent/telemetry/capabilities.ts';
import { realHost } from '#runtime/host.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient } from '#runtime/link/client.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import type { Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

export interface Settlement {
  readonly fence: Fence;
  readonly outcome: 'accepted' | 'refused';
  readonly reason: string | null;
}

/**
 * A machine with a key and a place in the grid, whose owner writes its messages by hand. It takes commands and carries
 * out none of them; what it says is up to the test. It beats like an honest one, so that its lease does not run out.
 */
export interface Liar {
  readonly device: string;
  /** The oldest command for the job that was not asked for yet. */
  command(job: string): Promise<RunCommand>;
  /** A vote for these bytes, signed with the liar's own key: as an honest one as long as the bytes are right. */
  voteFor(command: RunCommand, bytes: Uint8Array): VoteMessage;
  send(message: FromAgent): void;
  /** The answer to the n-th vote under this fence, from 1. */
  settled(fence: Fence, nth?: number): Promise<Settlement>;
  /** Ends its session: what it holds goes to others. */
  leave(): Promise<void>;
  /** A new session of the same device. */
  comeBack(): void;
}

const BEAT_MS = 1_000;

export async function startLiar(grid: Grid, name: string): Promise<Liar> {
  const { token } = (await grid.client.post('/api/tokens', { name, uses: 1 })) as { token: string };
  const key = generateKeyPair();
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-liar-'));
  const membership = await enrol({ url: grid.url, token, name, key, folder });
  await rm(folder, { recursive: true, force: true });
  const address = new URL('/agent', grid.url);
  address.protocol = 'ws:';
  const capabilities = readCapabilities({ version: '0.0.0', slots: 1, models: [], takesModels: false, sequences: 1 });
  const commands: RunCommand[] = [];
  const settlements: Settlement[] = [];
  let beat: NodeJS.Timeout;
  let link: LinkClient<FromAgent>;

  function hear(message: ToAgent): void {
    if (message.type === 'run') commands.push(message);
    if (message.type === 'voteSettled')
      settlements.push({ fence: message.fence, outcome: message.outcome, reason: message.reason ?? null });
  }

  function connect(): void {
    link = createLinkClient<ToAgent, FromAgent>({
      host: realHost(),
      connect: () => wsSocket(new WebSocket(address, { perMessageDeflate: false })),
      peer: membership.device,
      key,
      serverKey: membership.gridKey,
      hello: () => ({ capabilities, vitals: { ...UNKNOWN_VITALS, power: 'mains' as const }, held: [], epochs: {} }),
      decode: (raw) => ToAgent.parse(raw),
      onOpen: () => undefined,
      onMessage: hear,
    });
    beat = setInterval(() => void link.send({ type: 'beat', load: 0, memoryFreeBytes: totalmem(), running: 0 }), BEAT_MS);
  }

  connect();
  return {
    device: membership.device,
    async command(job) {
      const wanted = (command: RunCommand): boolean => command.job === job;
      await waitUntil(`${name} has a command`, () => commands.some(wanted), 30_000);
      const [command] = commands.splice(commands.findIndex(wanted), 1);
      if (command === undefined) throw new Error('the command was there a moment ago');
      return command;
    },
    voteFor({ fence, job, shard, module, inputDigest }, bytes) {
      const output = { sha256: sha256Hex(bytes), size: bytes.length };
      const signature = Buffer.from(key.sign(voteBytes({ job, shard, fence, module: module.sha256, inputDigest, output }))).toString('hex');
      return { type: 'vote', fence, job, shard, output, bytes, seconds: 0.1, signature };
    },
    send(message) {
      if (link.send(message) !== 'accepted') throw new Error(`${name} could not say its ${message.type}`);
    },
    async settled(fence, nth = 1) {
      const mine = (): Settlement[] => settlements.filter((s) => fenceText(s.fence) === fenceText(fence));
      await waitUntil(`answer ${nth} to the vote of ${fenceText(fence)}`, () => mine().length >= nth, 30_000);
      const settlement = mine()[nth - 1];
      if (settlement === undefined) throw new Error('the answer was there a moment ago');
      return settlement;
    },
    async leave() {
      clearInterval(beat);
      await link.close();
    },
    comeBack: connect,
  };
}
