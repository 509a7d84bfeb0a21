/** The bytes are not a module, or not one that we run. The message is the reason, written for the job's author. */
export class ModuleRefused extends Error {
  override readonly name = 'ModuleRefused';
}

const CUT_SHORT = 'the module is cut short';

/** A cursor over one piece of a WebAssembly binary. Every read is checked against the piece's end. */
export class WasmReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    const value = this.at < this.end ? this.bytes[this.at] : undefined;
    if (value === undefined) throw new ModuleRefused(CUT_SHORT);
    this.at++;
    return value;
  }

  /** Unsigned LEB128 of at most 32 bits, in at most five bytes. */
  u32(): number {
    let value = 0;
    for (let scale = 1, i = 0; i < 5; i++, scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new ModuleRefused(`a number at byte ${this.at} does not fit into 32 bits`);
  }

  /** Steps over a LEB128 number of either sign that takes at most `longest` bytes. */
  skipNumber(longest: number): void {
    for (let i = 0; i < longest; i++) if (this.byte() < 0x80) return;
    throw new ModuleRefused(`a number at byte ${this.at} is too long`);
  }

  skip(length: number): void {
    if (length > this.end - this.at) throw new ModuleRefused(CUT_SHORT);
    this.at += length;
  }

  /** A reader for the next `length` bytes; this one steps over them. */
  piece(length: number): WasmReader {
    const start = this.at;
    this.skip(length);
    return new WasmReader(this.bytes, start, this.at);
  }

  /** A name as text. Bytes outside printable ASCII come out as `?`: it is only compared and shown. */
  name(): string {
    const { at: start, end } = this.piece(this.u32());
    let text = '';
    for (let i = start; i < Math.min(end, start + 100); i++) {
      const code = this.bytes[i] ?? 0;
      text += code > 0x20 && code < 0x7f ? String.fromCharCode(code) : '?';
    }
    return end - start > 100 ? `${text}...` : text;
  }
}

/** Unsigned LEB128. */
export function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return out;
}
