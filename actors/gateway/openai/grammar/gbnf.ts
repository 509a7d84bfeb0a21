/** A grammar that is being written: rules by name, in GBNF, the notation of llama.cpp (grammars/README.md there). */
export class Gbnf {
  readonly #rules = new Map<string, string>();
  #made = 0;

  /** Adds a rule under a name that no other has, and answers the name. */
  rule(hint: string, body: string): string {
    const name = `${
      hint
        .replaceAll(/[^a-z]/gi, '')
        .toLowerCase()
        .slice(0, 20) || 'r'
    }-${(this.#made += 1)}`;
    this.#rules.set(name, body);
    return name;
  }

  /** A name to be defined later: what lets a rule contain itself. */
  reserve(hint: string): string {
    return this.rule(hint, '""');
  }

  define(name: string, body: string): string {
    this.#rules.set(name, body);
    return name;
  }

  has(name: string): boolean {
    return this.#rules.has(name);
  }

  toString(): string {
    return Array.from(this.#rules, ([name, body]) => `${name} ::= ${body}`).join('\n') + '\n';
  }
}

/** A literal. */
export function literal(text: string): string {
  const escaped = text.replaceAll(/[\\"\n\r\t]/g, (c) => ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c] ?? `\\${c}`);
  return `"${escaped}"`;
}

export function either(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? (alternatives[0] ?? '""') : `(${alternatives.join(' | ')})`;
}
