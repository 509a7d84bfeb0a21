// Word count: `count` makes a sorted table of the words of a text, `merge` makes one table of many.
// A word is a maximal run of ASCII letters, in lower case. A table has one line `word<TAB>count` for each, sorted by bytes.

import { fail, programArguments } from "../../wasi/assembly/process";
import { flush, readByte, readFrame, writeByte, writeBytes } from "../../wasi/assembly/streams";
import { appendLetter, countWord, eachSorted, Entry, hasWord } from "./table";

const TAB: i32 = 9;
const NEWLINE: i32 = 10;
const DIGITS: usize = memory.data(20);

function countText(): void {
  while (true) {
    const byte = readByte();
    const letter = byte | 0x20; // lower case, for letters; -1 stays -1
    if (letter >= 0x61 && letter <= 0x7a) {
      appendLetter(letter);
      continue;
    }
    if (hasWord()) countWord(1);
    if (byte < 0) return;
  }
}

function mergeTables(): void {
  while (true) {
    let left = readFrame();
    if (left < 0) return;
    while (left > 0) left -= readLine();
  }
}

/** Adds one line of a table; answers its length. */
function readLine(): i64 {
  let length: i64 = 1;
  let byte = readByte();
  for (; byte != TAB; byte = readByte(), length++) {
    if (byte < 0x61 || byte > 0x7a) fail("this is not a table of words");
    appendLetter(byte);
  }
  let count: u64 = 0;
  length++;
  for (byte = readByte(); byte != NEWLINE; byte = readByte(), length++) {
    if (byte < 0x30 || byte > 0x39) fail("this is not a table of words");
    count = count * 10 + (byte - 0x30);
  }
  if (!hasWord()) fail("this is not a table of words");
  countWord(count);
  return length;
}

function writeEntry(entry: Entry): void {
  writeBytes(entry.text, entry.length);
  writeByte(TAB);
  let at = DIGITS + 20;
  let rest = entry.count;
  do {
    store<u8>(--at, 0x30 + <u8>(rest % 10));
    rest /= 10;
  } while (rest > 0);
  writeBytes(at, DIGITS + 20 - at);
  writeByte(NEWLINE);
}

function main(): void {
  const args = programArguments();
  const command = args.length == 1 ? args[0] : "";
  if (command == "count") countText();
  else if (command == "merge") mergeTables();
  else fail("usage: word-count count|merge");
  eachSorted(writeEntry);
  flush();
}

main();
