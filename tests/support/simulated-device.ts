import { commandsOf, type FromAgent, type RunCommand, type ToAgent, type VoteMessage } from '#actors/contract/agent-link.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { batchVotes } from '#actors/contract/vote-batch.ts';
import { holdSession } from '#actors/device/held-session.ts';
import type { DevicesRef } from '#actors/device/devices.protocol.ts';
import { inBatches } from '#agent/session/vote-batches.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { LinkSession } from '#runtime/link/session.ts';

/** What a simulated device answers to a command; null: nothing, ever. */
export type Answer = (
  command: RunCommand,
  device: SimulatedDevice,
) => { output: Uint8Array; spoil?: (vote: VoteMessage) => VoteMessage } | 'fails' | null;

const CAPABILITIES = {
  agentVersion: 'simulated',
  hostname: 'simulated',
  os: 'linux',
  arch: 'x64',
  cores: 2,
  memoryBytes: 1_000_000_000,
  slots: 2,
  kinds: ['wasm'],
  gpus: [],
  models: [],
  features: ['batches'],
} satisfies Parameters<typeof helloOf>[0];

const VITALS = { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] } satisfies Vitals;

function helloOf(
  capabilities: {
    agentVersion: string;
    hostname: string;
    os: 'linux';
    arch: 'x64';
    cores: number;
    memoryBytes: number;
    slots: number;
    kinds: ('wasm' | 'inference')[];
    gpus: [];
    models: [];
    features: string[];
  },
  held: RunCommand['fence'][],
) {
  return { capabilities, vitals: VITALS, held, epochs: {} };
}

/**
 * The agent's side of a link, simulated: takes commands, computes for a random while, votes with a real signature, keeps votes
 * until they are settled, and comes back after its session was cut.
 */
export class SimulatedDevice {
  readonly id: string;
  readonly key: KeyPair;
  readonly settled: { fence: string; outcome: string; reason: string | undefined }[] = [];
  readonly #host: Host;
  readonly #answer: Answer;
  readonly #devices: DevicesRef;
  readonly #unsettled = new Map<string, VoteMessage>();
  readonly #running = new Map<string, RunCommand>();
  #link: { toGrid(message: FromAgent): void; cut(reason: string): void } | null = null;
  #generation = 0;
  /** Done, and waiting for others to be signed together with. */
  #gathering: { readonly command: RunCommand; readonly output: Uint8Array }[] = [];

  constructor(options: { id: string; key: KeyPair; host: Host; devices: DevicesRef; answer: Answer }) {
    this.id = options.id;
    this.key = options.key;
    this.#host = options.host;
    this.#devices = options.devices;
    this.#answer = options.answer;
  }

  get connected(): boolean {
    return this.#link !== null;
  }

  connect(): void {
    const generation = ++this.#generation;
    let onMessage: (message: FromAgent) => void | Promise<void> = () => {};
    let onClosed: (reason: string, undelivered: readonly ToAgent[]) => void = () => {};
    let open = true;
    const close = (reason: string): void => {
      if (!open) return;
      open = false;
      if (this.#generation === generation) this.#link = null;
      onClosed(reason, []);
    };
    const held = [...this.#running.values(), ...this.#unsettled.values(), ...this.#gathering.map((g) => g.command)].map((c) => c.fence);
    const hello = helloOf(CAPABILITIES, held);
    const session: LinkSession<FromAgent, ToAgent> = {
      id: `${this.id}-${generation}`,
      peer: this.id,
      hello,
      send: (message) => {
        if (!open) return 'closed';
        this.#host.scheduler.after(1, () => {
          if (open) this.#obey(message);
        });
        return 'accepted';
      },
      onMessage(callback) {
        onMessage = callback;
      },
      onSuspended: () => {},
      onResumed: () => {},
      onClosed: (callback) => void (onClosed = callback),
      onRoom: () => {},
      close,
    };
    this.#link = { toGrid: (message) => this.#host.scheduler.after(1, () => open && void onMessage(message)), cut: close };
    this.#devices.opened({ session: holdSession(session), hello });
    for (const vote of this.#unsettled.values()) this.#link.toGrid(vote);
  }

  /** The session ends; what was being computed goes on unless the power goes as well. */
  cut(options: { loseWork: boolean }): void {
    this.#link?.cut('cut by the simulation');
    if (!options.loseWork) return;
    this.#running.clear();
    this.#gathering = [];
  }

  send(message: FromAgent): void {
    this.#link?.toGrid(message);
  }

  vote(command: RunCommand, output: Uint8Array): VoteMessage {
    const ref = { sha256: sha256Hex(output), size: output.length };
    const { job, shard, fence } = command;
    const claim = { job, shard, fence, module: command.module.sha256, inputDigest: command.inputDigest, output: ref };
    const signature = Buffer.from(this.key.sign(voteBytes(claim))).toString('hex');
    return { type: 'vote', fence, job, shard, output: ref, bytes: output, seconds: 0.1, signature };
  }

  #obey(message: ToAgent): void {
    if (message.type === 'run') this.#run(message);
    if (message.type === 'runs') for (const command of commandsOf(message)) this.#run(command);
    if (message.type === 'votesAccepted') for (const fence of message.fences) this.#settle(fenceText(fence), 'accepted', undefined);
    if (message.type === 'stop') this.#running.delete(fenceText(message.fence));
    if (message.type === 'voteSettled') this.#settle(fenceText(message.fence), message.outcome, message.reason);
  }

  #settle(fence: string, outcome: string, reason: string | undefined): void {
    this.#unsettled.delete(fence);
    this.settled.push({ fence, outcome, reason });
  }

  /** What was done in the meantime gets one signature; by itself a vote is signed as it always was. */
  #voteTogether(): void {
    const done = this.#gathering.splice(0);
    if (done.length === 1) for (const { command, output } of done) this.#send(this.vote(command, output));
    if (done.length < 2) return;
    const votes = done.map(({ command, output }) => this.vote(command, output));
    const statements = done.map(({ command, output }) => {
      const { job, shard, fence, inputDigest } = command;
      const ref = { sha256: sha256Hex(output), size: output.length };
      return voteBytes({ job, shard, fence, module: command.module.sha256, inputDigest, output: ref });
    });
    const { bytes, places } = batchVotes(statements, sha256);
    const signature = Buffer.from(this.key.sign(bytes)).toString('hex');
    const signed = votes.map((vote, n) => {
      const batch = places[n];
      return { ...vote, signature, ...(batch === undefined ? {} : { batch }) };
    });
    for (const vote of signed) this.#unsettled.set(fenceText(vote.fence), vote);
    for (const { message } of inBatches(signed)) this.send(message);
  }

  #send(vote: VoteMessage): void {
    this.#unsettled.set(fenceText(vote.fence), vote);
    this.send(vote);
  }

  #run(command: RunCommand): void {
    const key = fenceText(command.fence);
    this.#running.set(key, command);
    this.#host.scheduler.after(10 + this.#host.random() * 200, () => {
      // Stopped, or lost with the power.
      if (!this.#running.delete(key)) return;
      const answer = this.#answer(command, this);
      if (answer === null) return;
      if (answer === 'fails')
        return this.send({ type: 'attemptFailed', fence: command.fence, job: command.job, shard: command.shard, reason: 'simulated' });
      if (answer.spoil === undefined && this.#host.random() < 0.5) {
        if (this.#gathering.push({ command, output: answer.output }) === 1) this.#host.scheduler.after(50, () => this.#voteTogether());
        return;
      }
      const vote = this.vote(command, answer.output);
      this.#unsettled.set(key, vote);
      this.send(answer.spoil?.(vote) ?? vote);
    });
  }
}
