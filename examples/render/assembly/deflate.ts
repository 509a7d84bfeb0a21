// Deflate (RFC 1951) for picture rows: each block gets Huffman codes of its own. Only runs of one byte are matched, since
// rows of filtered noise repeat nothing else.

const END = 256;
const LITERALS = 286;
const LENGTHS = 19;
const SHORTEST_RUN = 3;
const LONGEST_RUN = 258;
const MAX_BITS: u32 = 15;
const ADLER: u32 = 65521;

let buffer: usize = 0;
let at: usize = 0;
let bits: u64 = 0;
let bitCount: u32 = 0;
let adlerA: u32 = 1;
let adlerB: u32 = 0;
/** The first block has the stream's header before it. */
let first: bool = true;

const counts: StaticArray<u32> = new StaticArray<u32>(LITERALS);
const lengths: StaticArray<u8> = new StaticArray<u8>(LITERALS + 1);
const codes: StaticArray<u16> = new StaticArray<u16>(LITERALS);
const lengthCounts: StaticArray<u32> = new StaticArray<u32>(LENGTHS);
const lengthLengths: StaticArray<u8> = new StaticArray<u8>(LENGTHS);
const lengthCodes: StaticArray<u16> = new StaticArray<u16>(LENGTHS);
const LENGTH_ORDER: StaticArray<u8> = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Begins a zlib stream whose blocks hold at most `largest` bytes. */
export function beginStream(largest: usize): void {
  // No code is longer than 15 bits, so two bytes for each are always enough.
  buffer = heap.alloc(largest * 2 + 1024);
  at = buffer;
  store<u8>(at++, 0x78);
  store<u8>(at++, 0x5e);
}

/** What has been packed since the last block began: hand it on before the next. */
export function packed(): usize {
  return buffer;
}

export function packedSize(): u32 {
  return <u32>(at - buffer);
}

function put(value: u32, count: u32): void {
  bits |= (<u64>value) << bitCount;
  bitCount += count;
  while (bitCount >= 8) {
    store<u8>(at++, <u8>bits);
    bits >>>= 8;
    bitCount -= 8;
  }
}

/** Packs one block. Bits that do not fill a byte wait for the next block or for `endStream`. */
export function packBlock(from: usize, size: i32, last: bool): void {
  if (!first) at = buffer;
  first = false;
  addToChecksum(from, size);
  counts.fill(0);
  walk(from, size, false);
  unchecked((counts[END] = 1));
  lengths.fill(0);
  codeLengths(counts, LITERALS, MAX_BITS, lengths);
  unchecked((lengths[LITERALS] = 1)); // the one distance code: "one byte back"
  assignCodes(lengths, LITERALS, codes);
  put(last ? 1 : 0, 1);
  put(2, 2);
  putTables();
  walk(from, size, true);
  putCode(END);
}

export function endStream(): void {
  if (bitCount > 0) put(0, 8 - bitCount);
  for (let shift: i32 = 8; shift >= 0; shift -= 8) store<u8>(at++, <u8>(adlerB >>> shift));
  for (let shift: i32 = 8; shift >= 0; shift -= 8) store<u8>(at++, <u8>(adlerA >>> shift));
}

function addToChecksum(from: usize, size: i32): void {
  let a = adlerA;
  let b = adlerB;
  let done = 0;
  while (done < size) {
    const stop = min(size, done + 5552); // the most that cannot overflow 32 bits (RFC 1950)
    for (; done < stop; done++) {
      a += load<u8>(from + done);
      b += a;
    }
    a %= ADLER;
    b %= ADLER;
  }
  adlerA = a;
  adlerB = b;
}

/** Goes over a block's literals and runs: counts their symbols, or writes their codes. */
function walk(from: usize, size: i32, write: bool): void {
  let i = 0;
  while (i < size) {
    const byte = load<u8>(from + i);
    emit(byte, write);
    i++;
    let run = 0;
    while (run < LONGEST_RUN && i + run < size && load<u8>(from + i + run) == byte) run++;
    if (run < SHORTEST_RUN) continue;
    emitRun(run, write);
    i += run;
  }
}

function emit(symbol: i32, write: bool): void {
  if (write) putCode(symbol);
  else unchecked((counts[symbol] += 1));
}

/** A match of `run` bytes at distance 1. */
function emitRun(run: i32, write: bool): void {
  if (run == LONGEST_RUN) {
    emit(285, write);
    if (write) put(0, 1);
    return;
  }
  // Lengths 3..10 have a symbol each; above, four symbols share one number of extra bits.
  const value = run - SHORTEST_RUN;
  const extra: u32 = value < 8 ? 0 : 29 - clz<u32>(value);
  const symbol = value < 8 ? 257 + value : 257 + 4 * (extra + 1) + ((value >>> extra) & 3);
  emit(symbol, write);
  if (!write) return;
  put(value & ((1 << extra) - 1), extra);
  put(0, 1);
}

function putCode(symbol: i32): void {
  put(unchecked(codes[symbol]), unchecked(lengths[symbol]));
}

/** The block's header: code lengths of all literals and of the one distance, each coded on its own without repeats. */
function putTables(): void {
  lengthCounts.fill(0);
  for (let i = 0; i <= LITERALS; i++) unchecked((lengthCounts[lengths[i]] += 1));
  lengthLengths.fill(0);
  codeLengths(lengthCounts, LENGTHS, 7, lengthLengths);
  assignCodes(lengthLengths, LENGTHS, lengthCodes);
  put(LITERALS - 257, 5);
  put(0, 5);
  put(LENGTHS - 4, 4);
  for (let i = 0; i < LENGTHS; i++) put(unchecked(lengthLengths[LENGTH_ORDER[i]]), 3);
  for (let i = 0; i <= LITERALS; i++) {
    const length = unchecked(lengths[i]);
    put(unchecked(lengthCodes[length]), unchecked(lengthLengths[length]));
  }
}

const weights: StaticArray<u32> = new StaticArray<u32>(LITERALS * 2);
const parents: StaticArray<i32> = new StaticArray<i32>(LITERALS * 2);

/** Huffman's algorithm; when a code would be too long the weights are flattened and it is tried again. */
function codeLengths(weight: StaticArray<u32>, count: i32, longest: u32, into: StaticArray<u8>): void {
  let flatten: u32 = 0;
  while (!tryLengths(weight, count, longest, into, flatten)) flatten++;
}

function tryLengths(weight: StaticArray<u32>, count: i32, longest: u32, into: StaticArray<u8>, flatten: u32): bool {
  let alive = 0;
  for (let i = 0; i < count; i++) {
    const own = unchecked(weight[i]);
    // A weight never becomes 0 by flattening: every symbol that occurs needs a code.
    unchecked((weights[i] = own == 0 ? 0 : max(1, own >>> flatten)));
    unchecked((parents[i] = -1));
    if (own > 0) alive++;
  }
  let nodes = count;
  while (alive > 1) {
    const a = takeLightest(nodes);
    const wa = unchecked(weights[a]);
    unchecked((weights[a] = 0));
    const b = takeLightest(nodes);
    const wb = unchecked(weights[b]);
    unchecked((weights[b] = 0));
    unchecked((weights[nodes] = wa + wb));
    unchecked((parents[nodes] = -1));
    unchecked((parents[a] = nodes));
    unchecked((parents[b] = nodes));
    nodes++;
    alive--;
  }
  for (let i = 0; i < count; i++) {
    if (unchecked(weight[i]) == 0) continue;
    let depth: u32 = 0;
    for (let node = i; unchecked(parents[node]) >= 0; node = unchecked(parents[node])) depth++;
    if (depth > longest) return false;
    unchecked((into[i] = <u8>max(1, depth)));
  }
  return true;
}

/** The first of the nodes with the least weight; nodes of weight 0 are taken or unused. */
function takeLightest(nodes: i32): i32 {
  let lightest = -1;
  for (let i = 0; i < nodes; i++) {
    const own = unchecked(weights[i]);
    if (own > 0 && (lightest < 0 || own < unchecked(weights[lightest]))) lightest = i;
  }
  return lightest;
}

/** Canonical codes (RFC 1951, 3.2.2), with their bits turned round as they are written. */
function assignCodes(length: StaticArray<u8>, count: i32, into: StaticArray<u16>): void {
  let code: u32 = 0;
  for (let bitsLong: u32 = 1; bitsLong <= MAX_BITS; bitsLong++) {
    for (let i = 0; i < count; i++) {
      if (<u32>unchecked(length[i]) != bitsLong) continue;
      let turned: u32 = 0;
      for (let bit: u32 = 0; bit < bitsLong; bit++) turned |= ((code >>> bit) & 1) << (bitsLong - 1 - bit);
      unchecked((into[i] = <u16>turned));
      code++;
    }
    code <<= 1;
  }
}
