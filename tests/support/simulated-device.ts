import type { FromAgent, RunCommand, ToAgent, VoteMessage } from '#actors/contract/agent-link.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { holdSession } from '#actors/device/held-session.ts';
import type { DevicesRef } from '#actors/device/devices.protocol.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
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
    const held = [...this.#running.values(), ...this.#unsettled.values()].map((c) => c.fence);
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
    if (options.loseWork) this.#running.clear();
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
    if (message.type === 'stop') this.#running.delete(fenceText(message.fence));
    if (message.type === 'voteSettled') {
      this.#unsettled.delete(fenceText(message.fence));
      this.settled.push({ fence: fenceText(message.fence), outcome: message.outcome, reason: message.reason });
    }
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
      const vote = this.vote(command, answer.output);
      this.#unsettled.set(key, vote);
      this.send(answer.spoil?.(vote) ?? vote);
    });
  }
}
