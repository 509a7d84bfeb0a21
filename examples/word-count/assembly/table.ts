// A hash table from words to counts, in plain linear memory: open addressing, linear probing, doubled when 5/8 full.
// The words themselves lie in chunks; a word is appended letter by letter and given back when the table has it already.

/** One word. The prefix is its first eight bytes as a big-endian number, so that most comparisons are one of numbers. */
@unmanaged
export class Entry {
  prefix: u64;
  count: u64;
  text: u32;
  length: u32;
  hash: u32;
  reserved: u32;
}

const ENTRY: u32 = 32; // bytes of an Entry
const CHUNK: usize = 1 << 18;
const FNV_OFFSET: u32 = 0x811c9dc5;
const FNV_PRIME: u32 = 0x01000193;

let capacity: u32 = 1 << 12;
let used: u32 = 0;
let slots: usize = zeroed(capacity * ENTRY);

let chunkAt: usize = heap.alloc(CHUNK);
let chunkEnd: usize = chunkAt + CHUNK;
let wordStart: usize = chunkAt;
let hash: u32 = FNV_OFFSET;

function zeroed(size: usize): usize {
  const block = heap.alloc(size);
  memory.fill(block, 0, size);
  return block;
}

/** Appends one letter to the word that is being read. */
// @ts-ignore: decorator
@inline
export function appendLetter(letter: i32): void {
  if (chunkAt == chunkEnd) nextChunk();
  store<u8>(chunkAt++, letter);
  hash = (hash ^ letter) * FNV_PRIME;
}

/** Begins a chunk with the unfinished word at its start; a very long word gets ever larger ones. */
function nextChunk(): void {
  const length = chunkAt - wordStart;
  const size = max(CHUNK, length * 2);
  const chunk = heap.alloc(size);
  memory.copy(chunk, wordStart, length);
  wordStart = chunk;
  chunkAt = chunk + length;
  chunkEnd = chunk + size;
}

// @ts-ignore: decorator
@inline
export function hasWord(): bool {
  return chunkAt > wordStart;
}

/** Ends the word and counts it. */
export function countWord(count: u64): void {
  const length = <u32>(chunkAt - wordStart);
  // FNV's low bits are its weakest: fold the high ones in.
  const mixed = hash ^ (hash >>> 15);
  const entry = find(mixed, length);
  if (entry.length == 0) {
    entry.text = <u32>wordStart;
    entry.length = length;
    entry.hash = mixed;
    entry.prefix = prefixOf(wordStart, length);
    entry.count = count;
    wordStart = chunkAt;
    if (++used > (capacity >> 3) * 5) grow();
  } else {
    entry.count += count;
    chunkAt = wordStart;
  }
  hash = FNV_OFFSET;
}

/** The word's entry, or the empty one where it belongs. */
function find(wanted: u32, length: u32): Entry {
  const mask = capacity - 1;
  let slot = wanted & mask;
  while (true) {
    const entry = changetype<Entry>(slots + slot * ENTRY);
    if (entry.length == 0) return entry;
    if (entry.hash == wanted && entry.length == length && memory.compare(entry.text, wordStart, length) == 0) return entry;
    slot = (slot + 1) & mask;
  }
}

function prefixOf(text: usize, length: u32): u64 {
  let prefix: u64 = 0;
  for (let i: u32 = 0; i < 8; i++) prefix = (prefix << 8) | (i < length ? <u64>load<u8>(text + i) : 0);
  return prefix;
}

function grow(): void {
  const old = slots;
  const oldEnd = old + capacity * ENTRY;
  capacity <<= 1;
  slots = zeroed(capacity * ENTRY);
  const mask = capacity - 1;
  for (let from = old; from < oldEnd; from += ENTRY) {
    const entry = changetype<Entry>(from);
    if (entry.length == 0) continue;
    let slot = entry.hash & mask;
    while (changetype<Entry>(slots + slot * ENTRY).length != 0) slot = (slot + 1) & mask;
    memory.copy(slots + slot * ENTRY, from, ENTRY);
  }
  heap.free(old);
}

// @ts-ignore: decorator
@inline
function precedes(a: Entry, b: Entry): bool {
  if (a.prefix != b.prefix) return a.prefix < b.prefix;
  const order = memory.compare(a.text, b.text, min(a.length, b.length));
  return order != 0 ? order < 0 : a.length < b.length;
}

/** Calls `visit` for each word, sorted by bytes (merge sort from the bottom up). */
export function eachSorted(visit: (entry: Entry) => void): void {
  let from = heap.alloc(used * 4);
  let to = heap.alloc(used * 4);
  let filled = from;
  for (let at = slots; at < slots + capacity * ENTRY; at += ENTRY) {
    if (changetype<Entry>(at).length == 0) continue;
    store<u32>(filled, <u32>at);
    filled += 4;
  }
  for (let width: u32 = 1; width < used; width <<= 1) {
    for (let start: u32 = 0; start < used; start += width * 2) mergeRuns(from, to, start, width);
    const swap = from;
    from = to;
    to = swap;
  }
  for (let i: u32 = 0; i < used; i++) visit(entryAt(from, i));
}

// @ts-ignore: decorator
@inline
function entryAt(list: usize, index: u32): Entry {
  return changetype<Entry>(<usize>load<u32>(list + index * 4));
}

function mergeRuns(from: usize, to: usize, start: u32, width: u32): void {
  const middle = min(start + width, used);
  const end = min(start + width * 2, used);
  let left = start;
  let right = middle;
  for (let i = start; i < end; i++) {
    const takeLeft = left < middle && (right == end || precedes(entryAt(from, left), entryAt(from, right)));
    store<u32>(to + i * 4, load<u32>(from + (takeLeft ? left++ : right++) * 4));
  }
}
