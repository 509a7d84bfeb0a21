import { createHash } from 'node:crypto';

/**
 * A checkpoint: all that a module's next step depends on, taken between two of its steps.
 *
 *   0   8 bytes   "corpgrid"
 *   8   u32       version
 *   12  32 bytes  SHA-256 of the module
 *   44  32 bytes  digest of the shard's arguments and input
 *   76  u64       steps that are done
 *   84  u64       bytes of the standard input that were read
 *   92  u64       the virtual clock, in nanoseconds
 *   100 4 × u32   the state of the random numbers
 *   116 u32       pages of the memory
 *   120 u32       pages that follow: the others hold zeros
 *   124 u64       bytes of the standard output so far
 *   132           each page, preceded by its number (u32), in ascending order; then the output; then the SHA-256 of all before
 *
 * Numbers are little-endian. Whoever reads one takes it for bytes of a stranger: it is refused unless every part is as it must be.
 */

export const CHECKPOINT_VERSION = 1;
export const PAGE = 65_536;
const MAGIC = Buffer.from('corpgrid');
const HEAD = 132;
const DIGEST = 32;
const MIB = 1024 * 1024;

/** The most bytes that a checkpoint of such a module can have. */
export function mostCheckpointBytes({ memoryMiB, outputMiB }: CheckpointLimits): number {
  return HEAD + DIGEST + (memoryMiB * MIB * (PAGE + 4)) / PAGE + outputMiB * MIB;
}

export interface CheckpointLimits {
  readonly memoryMiB: number;
  readonly outputMiB: number;
}

/** Whose checkpoint it is: 64 hex digits each. */
export interface CheckpointOwner {
  readonly module: string;
  readonly inputDigest: string;
}

export interface Progress {
  readonly steps: number;
  readonly inputRead: number;
  readonly nanoseconds: bigint;
  readonly random: readonly [number, number, number, number];
}

export interface CheckpointState extends Progress {
  readonly memory: Uint8Array;
  readonly output: Uint8Array;
}

export interface OpenedCheckpoint extends Progress {
  readonly pages: number;
  /** Those that are not all zeros. */
  readonly stored: ReadonlyMap<number, Uint8Array>;
  readonly output: Uint8Array;
}

/** Why a checkpoint is not taken. */
export class CheckpointRefused extends Error {
  override readonly name = 'CheckpointRefused';
}

/** Makes the bytes of a checkpoint. The memory's length is a whole number of pages. */
export function writeCheckpoint(owner: CheckpointOwner, state: CheckpointState): Buffer {
  const { memory, output } = state;
  const pages: Buffer[] = [];
  for (let n = 0; n * PAGE < memory.length; n++) {
    const page = Buffer.from(memory.buffer, memory.byteOffset + n * PAGE, PAGE);
    if (page.equals(ZEROS)) continue;
    const number = Buffer.alloc(4);
    number.writeUInt32LE(n);
    pages.push(number, page);
  }
  const head = Buffer.alloc(HEAD);
  MAGIC.copy(head);
  head.writeUInt32LE(CHECKPOINT_VERSION, 8);
  head.write(owner.module, 12, 'hex');
  head.write(owner.inputDigest, 44, 'hex');
  head.writeBigUInt64LE(BigInt(state.steps), 76);
  head.writeBigUInt64LE(BigInt(state.inputRead), 84);
  head.writeBigUInt64LE(state.nanoseconds, 92);
  for (const [n, word] of state.random.entries()) head.writeUInt32LE(word >>> 0, 100 + n * 4);
  head.writeUInt32LE(memory.length / PAGE, 116);
  head.writeUInt32LE(pages.length / 2, 120);
  head.writeBigUInt64LE(BigInt(output.length), 124);
  const body = Buffer.concat([head, ...pages, output]);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

/**
 * Reads a checkpoint for this module and this shard.
 *
 * @throws CheckpointRefused when it is damaged, of another version, of another module or shard, or larger than the limits
 */
export function readCheckpoint(bytes: Buffer, owner: CheckpointOwner, limits: CheckpointLimits): OpenedCheckpoint {
  if (bytes.length < HEAD + DIGEST || !bytes.subarray(0, 8).equals(MAGIC)) throw new CheckpointRefused('it is no checkpoint');
  const version = bytes.readUInt32LE(8);
  if (version !== CHECKPOINT_VERSION)
    throw new CheckpointRefused(`it is of version ${version}; this agent reads version ${CHECKPOINT_VERSION}`);
  if (bytes.length > mostCheckpointBytes(limits)) throw new CheckpointRefused('it is larger than the limits of the job');
  const end = bytes.length - DIGEST;
  const digest = createHash('sha256').update(bytes.subarray(0, end)).digest();
  if (!digest.equals(bytes.subarray(end))) throw new CheckpointRefused('it is damaged: its bytes do not have its hash');
  if (bytes.toString('hex', 12, 44) !== owner.module) throw new CheckpointRefused('it is of another module');
  if (bytes.toString('hex', 44, 76) !== owner.inputDigest) throw new CheckpointRefused('it is of another input');
  const pages = bytes.readUInt32LE(116);
  if (pages * PAGE > limits.memoryMiB * MIB) throw new CheckpointRefused('its memory is larger than limits.memoryMiB');
  const { stored, at } = readPages(bytes.subarray(0, end), pages);
  const output = bytes.subarray(at, end);
  if (BigInt(output.length) !== bytes.readBigUInt64LE(124)) throw new CheckpointRefused('its output has another length than it says');
  if (output.length > limits.outputMiB * MIB) throw new CheckpointRefused('its output is larger than limits.outputMiB');
  return {
    steps: safe(bytes.readBigUInt64LE(76)),
    inputRead: safe(bytes.readBigUInt64LE(84)),
    nanoseconds: bytes.readBigUInt64LE(92),
    random: [bytes.readUInt32LE(100), bytes.readUInt32LE(104), bytes.readUInt32LE(108), bytes.readUInt32LE(112)],
    pages,
    stored,
    output,
  };
}

function readPages(bytes: Buffer, pages: number): { stored: Map<number, Uint8Array>; at: number } {
  const stored = new Map<number, Uint8Array>();
  const count = bytes.readUInt32LE(120);
  let at = HEAD;
  let last = -1;
  for (let n = 0; n < count; n++) {
    if (at + 4 + PAGE > bytes.length) throw new CheckpointRefused('it ends in the middle of its pages');
    const page = bytes.readUInt32LE(at);
    if (page <= last || page >= pages) throw new CheckpointRefused('its pages are not in order');
    last = page;
    stored.set(page, bytes.subarray(at + 4, at + 4 + PAGE));
    at += 4 + PAGE;
  }
  return { stored, at };
}

function safe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new CheckpointRefused('it counts further than anybody can');
  return Number(value);
}

const ZEROS = Buffer.alloc(PAGE);
