/**
 * Writes GGUF files, version 3, little-endian, as https://github.com/ggml-org/ggml/blob/master/docs/gguf.md describes them.
 * For tests only: it writes what it is told, wrong things included, so that the strict reader has something to refuse.
 */

const VALUE_TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;

type ScalarType = 'u32' | 'i32' | 'f32' | 'bool' | 'string' | 'u64';
type Scalar = number | bigint | boolean | string;

export type GgufValue =
  | { readonly type: ScalarType; readonly value: Scalar }
  | { readonly type: 'array'; readonly of: ScalarType; readonly values: readonly Scalar[] };

export interface GgufTensor {
  readonly name: string;
  /** In ggml's order: the row length first. */
  readonly dimensions: readonly number[];
  readonly values: Float32Array | QuantisedValues;
}

/** Blocks of 32 values: a 16-bit scale and 32 signed bytes. */
export interface QuantisedValues {
  readonly q8: Buffer;
}

export interface GgufContent {
  readonly metadata: readonly (readonly [key: string, value: GgufValue])[];
  readonly tensors: readonly GgufTensor[];
}

const ALIGNMENT = 32;
const F32 = 0;
const Q8_0 = 8;

/** Grows as it is written to. */
class ByteSink {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  bytes(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.bytes(bytes);
  }

  u64(value: number | bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.bytes(bytes);
  }

  string(text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  scalar(type: ScalarType, value: Scalar): void {
    if (type === 'string') return this.string(String(value));
    if (type === 'u64') return this.u64(BigInt(value));
    if (type === 'bool') return this.bytes(Buffer.from([value ? 1 : 0]));
    const bytes = Buffer.alloc(4);
    if (type === 'u32') bytes.writeUInt32LE(Number(value));
    else if (type === 'i32') bytes.writeInt32LE(Number(value));
    else bytes.writeFloatLE(Number(value));
    this.bytes(bytes);
  }

  pad(): void {
    this.bytes(Buffer.alloc((ALIGNMENT - (this.#length % ALIGNMENT)) % ALIGNMENT));
  }

  take(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

function bytesOf(values: Float32Array | QuantisedValues): number {
  return 'q8' in values ? values.q8.length : values.length * 4;
}

function littleEndian(values: Float32Array | QuantisedValues): Buffer {
  if ('q8' in values) return values.q8;
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes;
}

/** The file's bytes. */
export function encodeGguf(content: GgufContent): Buffer {
  const sink = new ByteSink();
  sink.bytes(Buffer.from('GGUF'));
  sink.u32(3);
  sink.u64(content.tensors.length);
  sink.u64(content.metadata.length);
  for (const [key, value] of content.metadata) {
    sink.string(key);
    sink.u32(VALUE_TYPE[value.type]);
    if (value.type !== 'array') {
      sink.scalar(value.type, value.value);
      continue;
    }
    sink.u32(VALUE_TYPE[value.of]);
    sink.u64(value.values.length);
    for (const item of value.values) sink.scalar(value.of, item);
  }
  let offset = 0;
  for (const tensor of content.tensors) {
    sink.string(tensor.name);
    sink.u32(tensor.dimensions.length);
    for (const dimension of tensor.dimensions) sink.u64(dimension);
    sink.u32('q8' in tensor.values ? Q8_0 : F32);
    sink.u64(offset);
    offset += Math.ceil(bytesOf(tensor.values) / ALIGNMENT) * ALIGNMENT;
  }
  sink.pad();
  for (const tensor of content.tensors) {
    sink.bytes(littleEndian(tensor.values));
    sink.pad();
  }
  return sink.take();
}
