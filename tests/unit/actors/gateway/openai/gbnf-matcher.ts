/** A small reader of GBNF, for tests: says whether a text is a word of a grammar, by following all ways at once. */

type Node =
  | { readonly type: 'chars'; readonly test: (code: number) => boolean }
  | { readonly type: 'rule'; readonly name: string }
  | { readonly type: 'either'; readonly branches: readonly Node[][] }
  | { readonly type: 'repeat'; readonly node: Node; readonly least: number; readonly most: number };

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  either(): Node {
    const branches = [this.#sequence()];
    while (this.#skip() === '|') {
      this.#at += 1;
      branches.push(this.#sequence());
    }
    return { type: 'either', branches };
  }

  #skip(): string {
    while (this.#text[this.#at] === ' ') this.#at += 1;
    return this.#text[this.#at] ?? '';
  }

  #sequence(): Node[] {
    const nodes: Node[] = [];
    for (;;) {
      const next = this.#skip();
      if (next === '' || next === '|' || next === ')') return nodes;
      nodes.push(this.#repeated(this.#one(next)));
    }
  }

  #one(next: string): Node {
    if (next === '(') {
      this.#at += 1;
      const inner = this.either();
      this.#at += 1;
      return inner;
    }
    if (next === '"') return this.#literal();
    if (next === '[') return this.#set();
    const name = /^[A-Za-z0-9-]+/.exec(this.#text.slice(this.#at))?.[0];
    if (name === undefined) throw new Error(`cannot read ${this.#text.slice(this.#at, this.#at + 20)}`);
    this.#at += name.length;
    return { type: 'rule', name };
  }

  #char(): number {
    let char = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0);
    this.#at += char.length;
    if (char !== '\\') return char.codePointAt(0) ?? 0;
    char = this.#text[this.#at] ?? '';
    this.#at += 1;
    const digits = { x: 2, u: 4, U: 8 }[char];
    if (digits === undefined) return (ESCAPES[char] ?? char).codePointAt(0) ?? 0;
    const code = Number.parseInt(this.#text.slice(this.#at, this.#at + digits), 16);
    this.#at += digits;
    return code;
  }

  #literal(): Node {
    this.#at += 1;
    const codes: number[] = [];
    while (this.#text[this.#at] !== '"') codes.push(this.#char());
    this.#at += 1;
    return { type: 'either', branches: [codes.map((wanted) => ({ type: 'chars', test: (code: number) => code === wanted }))] };
  }

  #set(): Node {
    this.#at += 1;
    const not = this.#text[this.#at] === '^';
    if (not) this.#at += 1;
    const ranges: [number, number][] = [];
    while (this.#text[this.#at] !== ']') {
      const from = this.#char();
      const range = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']';
      if (range) this.#at += 1;
      ranges.push([from, range ? this.#char() : from]);
    }
    this.#at += 1;
    return { type: 'chars', test: (code) => ranges.some(([from, to]) => code >= from && code <= to) !== not };
  }

  #repeated(node: Node): Node {
    const next = this.#text[this.#at];
    const simple = { '?': [0, 1], '*': [0, Infinity], '+': [1, Infinity] }[next ?? ''];
    if (simple !== undefined) {
      this.#at += 1;
      return { type: 'repeat', node, least: simple[0] ?? 0, most: simple[1] ?? 0 };
    }
    const counts = /^\{(\d+)(,?)(\d*)\}/.exec(this.#text.slice(this.#at));
    if (counts === null) return node;
    this.#at += counts[0].length;
    const least = Number(counts[1]);
    const most = counts[2] === '' ? least : counts[3] === '' ? Infinity : Number(counts[3]);
    return { type: 'repeat', node, least, most };
  }
}

/** @throws Error when the grammar cannot be read or names a rule that it lacks */
export function matches(grammar: string, text: string): boolean {
  const rules = new Map<string, Node>();
  for (const line of grammar.trimEnd().split('\n')) {
    const [name = '', body = ''] = line.split(/ ::= (.*)/s);
    rules.set(name, new Parser(body).either());
  }
  const codes = Array.from(text, (char) => char.codePointAt(0) ?? 0);
  const known = new Map<string, Set<number>>();

  function ends(node: Node, at: number): Set<number> {
    switch (node.type) {
      case 'chars':
        return at < codes.length && node.test(codes[at] ?? 0) ? new Set([at + 1]) : new Set();
      case 'rule': {
        const key = `${node.name} ${at}`;
        const seen = known.get(key);
        if (seen !== undefined) return seen;
        const rule = rules.get(node.name);
        if (rule === undefined) throw new Error(`there is no rule ${node.name}`);
        known.set(key, new Set()); // a left recursion finds nothing new
        const found = ends(rule, at);
        known.set(key, found);
        return found;
      }
      case 'either':
        return new Set(node.branches.flatMap((branch) => [...branch.reduce((from, each) => after(each, from), new Set([at]))]));
      case 'repeat': {
        let now = new Set([at]);
        const all = new Set(node.least === 0 ? now : []);
        for (let n = 1; n <= node.most && now.size > 0; n++) {
          now = new Set([...after(node.node, now)].filter((end) => n < node.least || !all.has(end)));
          if (n >= node.least) for (const end of now) all.add(end);
        }
        return all;
      }
    }
  }

  function after(node: Node, from: Set<number>): Set<number> {
    return new Set([...from].flatMap((at) => [...ends(node, at)]));
  }

  return ends({ type: 'rule', name: 'root' }, 0).has(codes.length);
}
