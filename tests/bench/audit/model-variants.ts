import { readFile, writeFile } from 'node:fs/promises';

import { readGgufFileInfo } from 'node-llama-cpp';

import { randomFrom } from '#tests/support/gguf/random-weights.ts';

/** What a cheating device might load instead of the model that was asked for: all made of that model's own file, with its vocabulary. */
export type Variant = 'eightBits' | 'fourBits' | 'retrained' | 'pruned';

type Weights = Float32Array | Buffer;

const BLOCK = 32;
const Q8_0 = 8;
/** Of each weight's own size: what a little training on other texts changes. */
const RETRAINED = 0.05;

/** Real Q8_0, as llama.cpp quantises: a 16-bit scale and 32 signed bytes for each 32 values. */
function eightBits(values: Float32Array): Buffer {
  const bytes = Buffer.alloc((values.length / BLOCK) * (BLOCK + 2));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0; block < values.length / BLOCK; block++) {
    const part = values.subarray(block * BLOCK, (block + 1) * BLOCK);
    const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    const at = block * (BLOCK + 2);
    view.setUint16(at, half(scale), true);
    part.forEach((value, i) => view.setInt8(at + 2 + i, scale === 0 ? 0 : Math.round(value / scale)));
  }
  return bytes;
}

/** The values that Q4_0 leaves of these, written as they are. */
function fourBits(values: Float32Array): Float32Array {
  return values.map((value, i) => {
    const from = Math.floor(i / BLOCK) * BLOCK;
    const part = values.subarray(from, from + BLOCK);
    const largest = part.reduce((most, other) => (Math.abs(other) > Math.abs(most) ? other : most), 0);
    const scale = largest / -8;
    return scale === 0 ? 0 : Math.max(-8, Math.min(7, Math.round(value / scale))) * scale;
  });
}

/** A positive number as IEEE 754 half precision; too small ones become 0, which scales of weights never are. */
function half(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(value));
  const fraction = Math.round((value / 2 ** exponent - 1) * 1024);
  return exponent < -14 ? Math.round(value * 2 ** 24) : ((exponent + 15) << 10) + fraction;
}

function changed(variant: Variant, name: string, rowLength: number, values: Float32Array, random: () => number): Weights {
  if (name.includes('norm')) return values;
  if (variant === 'eightBits') return rowLength % BLOCK === 0 ? eightBits(values) : values;
  if (variant === 'fourBits') return rowLength % BLOCK === 0 ? fourBits(values) : values;
  if (variant === 'retrained') return values.map((value) => value * (1 + RETRAINED * (random() * 2 - 1) * Math.sqrt(3)));
  // A layer that adds nothing is a layer that is not there.
  return /^blk\.4\.(attn_output|ffn_down)/.test(name) ? values.fill(0) : values;
}

/** Writes another model with the header of this one, whose weights must be 32-bit floats. */
export async function writeVariant(from: string, to: string, variant: Variant): Promise<void> {
  const file = await readFile(from);
  const { fullTensorInfo: tensors = [] } = await readGgufFileInfo(from, { logWarnings: false });
  const random = randomFrom(11);
  const head = file.indexOf(nameBytes(tensors[0]?.name ?? ''));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, dimensions, fileOffset } of tensors) {
    const sizes = dimensions.map(Number);
    const count = sizes.reduce((product, size) => product * size, 1);
    const values = new Float32Array(new Uint8Array(file.subarray(Number(fileOffset), Number(fileOffset) + count * 4)).buffer);
    const weights = changed(variant, name, sizes[0] ?? 0, values, random);
    const bytes = Buffer.isBuffer(weights) ? weights : Buffer.from(weights.buffer);
    const info = Buffer.alloc(4 + sizes.length * 8 + 12);
    info.writeUInt32LE(sizes.length, 0);
    sizes.forEach((size, i) => info.writeBigUInt64LE(BigInt(size), 4 + i * 8));
    info.writeUInt32LE(Buffer.isBuffer(weights) ? Q8_0 : 0, info.length - 12);
    info.writeBigUInt64LE(BigInt(offset), info.length - 8);
    infos.push(nameBytes(name), info);
    data.push(bytes, padding(bytes.length));
    offset += bytes.length + padding(bytes.length).length;
  }
  const header = Buffer.concat([file.subarray(0, head), ...infos]);
  await writeFile(to, Buffer.concat([header, padding(header.length), ...data]));
}

function nameBytes(name: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(name.length));
  return Buffer.concat([length, Buffer.from(name)]);
}

function padding(length: number): Buffer {
  return Buffer.alloc((BLOCK - (length % BLOCK)) % BLOCK);
}
