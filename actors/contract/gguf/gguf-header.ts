import { ggmlType } from './ggml-types.ts';
import { type ByteSource, GgufBytes } from './gguf-bytes.ts';

/**
 * A strict reader of GGUF headers (versions 2 and 3, little-endian;
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A model file comes from anywhere, and the engine that opens it
 * is a large C++ program: what does not hold together here never gets there. It checks the frame, not the weights.
 */

export interface GgufHeader {
  readonly version: number;
  readonly architecture: string;
  /** `general.name`, or null. */
  readonly name: string | null;
  /** Tokens that the model was trained to look back on; null when the file does not say. */
  readonly contextLength: number | null;
  readonly vocabularySize: number;
  readonly hasChatTemplate: boolean;
  readonly tensorCount: number;
  /** Bytes of all tensors. */
  readonly weightBytes: number;
  /** The shape of its attention, or null for a model that has none or does not say. */
  readonly attention: {
    readonly layers: number;
    readonly heads: number;
    readonly keyValueHeads: number;
    readonly width: number;
    readonly keyLength: number;
    readonly valueLength: number;
  } | null;
}

const MIB = 1024 * 1024;
const LIMITS = {
  headerBytes: 256 * MIB,
  metadata: 65_536,
  tensors: 131_072,
  key: 65_535,
  string: 16 * MIB,
  array: 8_000_000,
  tensorName: 63,
  dimensions: 4,
  alignment: 65_536,
} as const;

const TYPE = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, i64: 11, f64: 12 } as const;
const SCALAR_BYTES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

type Value = string | number | bigint | boolean | { readonly length: number; readonly of: number };

function scalar(bytes: GgufBytes, type: number): Value {
  const width = SCALAR_BYTES[type] ?? bytes.refuse(`value type ${type} does not exist`);
  const raw = bytes.view(width);
  if (type === TYPE.u8) return raw.getUint8(0);
  if (type === TYPE.i8) return raw.getInt8(0);
  if (type === TYPE.u16) return raw.getUint16(0, true);
  if (type === TYPE.i16) return raw.getInt16(0, true);
  if (type === TYPE.u32) return raw.getUint32(0, true);
  if (type === TYPE.i32) return raw.getInt32(0, true);
  if (type === TYPE.f32) return raw.getFloat32(0, true);
  if (type === TYPE.u64) return raw.getBigUint64(0, true);
  if (type === TYPE.i64) return raw.getBigInt64(0, true);
  if (type === TYPE.f64) return raw.getFloat64(0, true);
  const flag = raw.getUint8(0);
  return flag <= 1 ? flag === 1 : bytes.refuse(`a boolean is ${flag}`);
}

function array(bytes: GgufBytes): Value {
  const of = bytes.u32();
  const length = bytes.u64(LIMITS.array, 'the length of an array');
  if (of === TYPE.string) {
    for (let i = 0; i < length; i++) bytes.skipString(LIMITS.string, 'a string of an array');
  } else {
    const width =
      SCALAR_BYTES[of] ?? bytes.refuse(of === TYPE.array ? 'an array of arrays is not supported' : `value type ${of} does not exist`);
    bytes.skip(length * width);
  }
  return { length, of };
}

function metadata(bytes: GgufBytes, count: number): Map<string, Value> {
  const entries = new Map<string, Value>();
  for (let i = 0; i < count; i++) {
    bytes.where = `metadata entry ${i}`;
    const key = bytes.string(LIMITS.key, 'a key');
    if (!/^[\w.-]+$/.test(key)) bytes.refuse('its key has characters other than letters, digits, dot, dash and underscore');
    bytes.where = `metadata.${key}`;
    if (entries.has(key)) bytes.refuse('the key is there twice');
    const type = bytes.u32();
    if (type === TYPE.string) entries.set(key, bytes.string(LIMITS.string, 'a string'));
    else entries.set(key, type === TYPE.array ? array(bytes) : scalar(bytes, type));
  }
  return entries;
}

interface TensorPlace {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

function tensorSize(bytes: GgufBytes, dimensions: readonly number[], typeNumber: number): number {
  const type = ggmlType(typeNumber) ?? bytes.refuse(`tensor type ${typeNumber} is unknown`);
  const row = dimensions[0] ?? 1;
  if (row % type.values !== 0) bytes.refuse(`a row of ${row} values cannot be packed in blocks of ${type.values}`);
  let size = (row / type.values) * type.bytes;
  for (const dimension of dimensions.slice(1)) size *= dimension;
  // A product that has left the exact integers has also left any file.
  return Number.isSafeInteger(size) ? size : bytes.refuse('its size overflows');
}

function tensors(bytes: GgufBytes, count: number): TensorPlace[] {
  const places: TensorPlace[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    bytes.where = `tensor ${i}`;
    const name = bytes.string(LIMITS.tensorName, 'a tensor name');
    bytes.where = `tensors.${name}`;
    if (names.has(name)) bytes.refuse('the tensor is there twice');
    names.add(name);
    const count = bytes.u32();
    if (count < 1 || count > LIMITS.dimensions) bytes.refuse(`it has ${count} dimensions, 1 to ${LIMITS.dimensions} are allowed`);
    const dimensions = Array.from({ length: count }, () => bytes.u64(Number.MAX_SAFE_INTEGER, 'a dimension'));
    if (dimensions.includes(0)) bytes.refuse('a dimension is 0');
    const size = tensorSize(bytes, dimensions, bytes.u32());
    places.push({ name, size, offset: bytes.u64(Number.MAX_SAFE_INTEGER, 'its offset') });
  }
  return places;
}

/** The engine itself insists on tensors that follow one another without gaps, so nothing is lost by doing so here. */
function checkPlaces(bytes: GgufBytes, places: readonly TensorPlace[], alignment: number, fileSize: number): void {
  const padded = (length: number): number => Math.ceil(length / alignment) * alignment;
  const start = padded(bytes.position);
  let expected = 0;
  for (const { name, offset, size } of places) {
    bytes.where = `tensors.${name}`;
    if (offset !== expected) bytes.refuse(`it lies at ${offset}, expected at ${expected}`);
    if (start + offset + size > fileSize) bytes.refuse(`it ends at byte ${start + offset + size} of a file of ${fileSize}`);
    expected = padded(offset + size);
  }
}

function checkVocabulary(bytes: GgufBytes, entries: ReadonlyMap<string, Value>): number {
  bytes.where = 'metadata.tokenizer.ggml.tokens';
  const lengthOf = (key: string): number | undefined => {
    const value = entries.get(key);
    return typeof value === 'object' ? value.length : undefined;
  };
  const tokens = entries.get('tokenizer.ggml.tokens');
  if (typeof tokens !== 'object' || tokens.of !== TYPE.string || tokens.length === 0)
    return bytes.refuse('a model needs its vocabulary, a list of strings');
  for (const key of ['tokenizer.ggml.scores', 'tokenizer.ggml.token_type']) {
    bytes.where = `metadata.${key}`;
    const length = lengthOf(key);
    if (entries.has(key) && length !== tokens.length) bytes.refuse(`it has ${length ?? 'no'} entries for ${tokens.length} tokens`);
  }
  for (const [key, value] of entries) {
    if (!/^tokenizer\.ggml\.\w+_token_id$/.test(key)) continue;
    bytes.where = `metadata.${key}`;
    if (typeof value !== 'number' || !Number.isInteger(value)) bytes.refuse('it must be a whole number');
    // -1, and its unsigned reading, mean: there is no such token.
    else if (value !== -1 && value !== 0xffff_ffff && (value < 0 || value >= tokens.length))
      bytes.refuse(`token ${value} is outside of the vocabulary of ${tokens.length}`);
  }
  return tokens.length;
}

/**
 * Reads and checks the header of a model file. Synchronous: a header is at most a few MiB of a file that is about to be read
 * in full.
 *
 * @throws BadGguf when anything in it does not hold together; `where` says where
 */
export function parseGgufHeader(source: ByteSource): GgufHeader {
  const fileSize = source.size;
  const bytes = new GgufBytes(source, LIMITS.headerBytes);
  // "GGUF", read as a little-endian number.
  if (bytes.u32() !== 0x4655_4747) bytes.refuse('it does not begin with "GGUF"');
  const version = bytes.u32();
  if (version !== 2 && version !== 3) bytes.refuse(`version ${version} is not supported, 2 and 3 are`);
  const tensorCount = bytes.u64(LIMITS.tensors, 'the number of tensors');
  const entries = metadata(bytes, bytes.u64(LIMITS.metadata, 'the number of metadata entries'));

  bytes.where = 'metadata.general.alignment';
  const alignment = entries.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 8 || alignment > LIMITS.alignment || (alignment & (alignment - 1)) !== 0) {
    return bytes.refuse(`it must be a power of two between 8 and ${LIMITS.alignment}`);
  }
  const places = tensors(bytes, tensorCount);
  checkPlaces(bytes, places, alignment, fileSize);

  const text = (key: string): string | null => {
    const value = entries.get(key);
    return typeof value === 'string' ? value : null;
  };
  bytes.where = 'metadata.general.architecture';
  const architecture = text('general.architecture') ?? '';
  if (!/^[a-z0-9_-]{1,64}$/.test(architecture)) bytes.refuse('a model must name its architecture');
  bytes.where = 'metadata.general.type';
  if ((text('general.type') ?? 'model') !== 'model') bytes.refuse('the file is not a model by itself');
  bytes.where = 'metadata.split.count';
  const parts = entries.get('split.count');
  if (parts !== undefined && parts !== 0 && parts !== 1) bytes.refuse('the model is split over several files; merge them into one');

  const whole = (key: string): number | null => {
    const value = entries.get(`${architecture}.${key}`);
    return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null;
  };
  const layers = whole('block_count');
  const heads = whole('attention.head_count');
  const width = whole('embedding_length');
  return {
    version,
    architecture,
    name: text('general.name'),
    contextLength: whole('context_length'),
    vocabularySize: checkVocabulary(bytes, entries),
    hasChatTemplate: (text('tokenizer.chat_template') ?? '') !== '',
    tensorCount,
    weightBytes: places.reduce((sum, place) => sum + place.size, 0),
    attention:
      layers === null || heads === null || width === null
        ? null
        : {
            layers,
            heads,
            // Files of models without grouped heads, or with another number in each layer, do not give one number.
            keyValueHeads: whole('attention.head_count_kv') ?? heads,
            width,
            keyLength: whole('attention.key_length') ?? Math.ceil(width / heads),
            valueLength: whole('attention.value_length') ?? Math.ceil(width / heads),
          },
  };
}
