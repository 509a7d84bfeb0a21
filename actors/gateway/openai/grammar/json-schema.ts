import { either, Gbnf, literal } from './gbnf.ts';

/**
 * JSON Schema as a grammar: every word of the grammar is JSON that the schema allows. Not the other way round: members come in the
 * order of `properties`, spaces only after a colon or comma, and objects with properties get no others. What a grammar cannot hold
 * a model to is refused by name: a keyword that is dropped would be a promise broken in silence.
 */

export class UnsupportedSchema extends Error {
  /** Where, as in `properties.age.minimum`. */
  readonly at: string;

  constructor(at: string, message: string) {
    super(message);
    this.at = at;
  }
}

type Schema = Readonly<Record<string, unknown>>;

/** Annotations, and keywords that are satisfied by how the grammar is made. */
const WITHOUT_EFFECT = new Set([
  '$schema', '$id', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', 'strict',
]); // prettier-ignore
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'minItems', 'maxItems', 'prefixItems'],
  string: ['minLength', 'maxLength', 'format'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  number: [],
  boolean: [],
  null: [],
};
/** Integers between bounds are written out; more than this would make the grammar slow. */
const MOST_INTEGERS = 1_024;
const MOST_REPEATS = 2_000;
const MOST_DEPTH = 64;

// Bytes that spell a surrogate or something beyond Unicode are no text: each would be read as several characters.
const CHAR = String.raw`[^"\\\x7F\x00-\x1F\uD800-\uDFFF\U00110000-\U001FFFFF] | "\\" ["\\/bfnrt]`;
const INTEGER = '"-"? ("0" | [1-9] [0-9]{0,14})';
const NUMBER = `${INTEGER} ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?`;
const DATE = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])';
const TIME = '("0" [0-9] | "1" [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] "Z"';
const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE} "T" ${TIME}`,
  uuid: '[0-9a-f]{8} "-" [0-9a-f]{4} "-4" [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}',
};

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function whole(value: unknown, fallback: number, at: string): number {
  if (value === undefined) return fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw new UnsupportedSchema(at, 'expected a whole number');
}

/** Writes the rules of one schema into a grammar. */
export class SchemaWriter {
  readonly #gbnf: Gbnf;
  readonly #root: unknown;
  readonly #references = new Map<string, string>();
  #char: string | undefined;
  #any: string | undefined;

  constructor(gbnf: Gbnf, root: unknown) {
    this.#gbnf = gbnf;
    this.#root = root;
  }

  /** Answers the name of the rule for the whole schema. @throws UnsupportedSchema */
  write(): string {
    return this.#value(this.#root, '', 0);
  }

  #value(schema: unknown, at: string, depth: number): string {
    if (schema === true) return this.#anything();
    if (!isSchema(schema)) throw new UnsupportedSchema(at, 'expected a schema');
    if (depth > MOST_DEPTH) throw new UnsupportedSchema(at, `more than ${MOST_DEPTH} levels`);
    if (typeof schema['$ref'] === 'string') return this.#reference(schema['$ref'], at, depth);
    if ('const' in schema) return this.#gbnf.rule('const', literal(JSON.stringify(schema['const'])));
    if (Array.isArray(schema['enum'])) return this.#oneOf(schema['enum'], at);
    for (const union of ['anyOf', 'oneOf'] as const) if (schema[union] !== undefined) return this.#union(schema, union, at, depth);
    if (Array.isArray(schema['allOf'])) return this.#value(merged(schema, schema['allOf'], at), at, depth + 1);
    const { type } = schema;
    if (Array.isArray(type)) {
      const rules = type.map((each) => this.#typed({ ...schema, type: each as unknown }, at, depth, true));
      return this.#gbnf.rule('type', either(rules));
    }
    return this.#typed(schema, at, depth, false);
  }

  #typed(schema: Schema, at: string, depth: number, oneOfSeveral: boolean): string {
    const type = schema['type'] ?? (schema['properties'] === undefined ? undefined : 'object');
    if (type === undefined && Object.keys(schema).every((key) => WITHOUT_EFFECT.has(key))) return this.#anything();
    if (typeof type !== 'string' || !Object.hasOwn(KNOWN, type))
      throw new UnsupportedSchema(under(at, 'type'), 'expected one of the types of JSON');
    const known = oneOfSeveral ? Object.values(KNOWN).flat() : (KNOWN[type] ?? []);
    const stray = Object.keys(schema).find((key) => key !== 'type' && !WITHOUT_EFFECT.has(key) && !known.includes(key));
    if (stray !== undefined) throw new UnsupportedSchema(under(at, stray), `'${stray}' cannot be enforced here`);
    switch (type) {
      case 'object':
        return this.#object(schema, at, depth);
      case 'array':
        return this.#array(schema, at, depth);
      case 'string':
        return this.#string(schema, at);
      case 'integer':
        return this.#integer(schema, at);
      case 'number':
        return this.#gbnf.rule('number', NUMBER);
      case 'boolean':
        return this.#gbnf.rule('boolean', '"true" | "false"');
      default:
        return this.#gbnf.rule('null', '"null"');
    }
  }

  #oneOf(values: readonly unknown[], at: string): string {
    if (values.length === 0) throw new UnsupportedSchema(under(at, 'enum'), 'it allows nothing');
    return this.#gbnf.rule('enum', either(values.map((value) => literal(JSON.stringify(value)))));
  }

  #union(schema: Schema, key: 'anyOf' | 'oneOf', at: string, depth: number): string {
    const branches = schema[key];
    const stray = Object.keys(schema).find((other) => other !== key && !WITHOUT_EFFECT.has(other));
    if (stray !== undefined) throw new UnsupportedSchema(under(at, stray), `'${stray}' beside '${key}' cannot be enforced here`);
    if (!Array.isArray(branches) || branches.length === 0) throw new UnsupportedSchema(under(at, key), 'expected a list of schemas');
    const rules = branches.map((branch, index) => this.#value(branch, under(at, `${key}[${index}]`), depth + 1));
    return this.#gbnf.rule(key, either(rules));
  }

  #reference(pointer: string, at: string, depth: number): string {
    const known = this.#references.get(pointer);
    if (known !== undefined) return known;
    if (pointer !== '#' && !pointer.startsWith('#/')) throw new UnsupportedSchema(under(at, '$ref'), 'only references within the schema');
    const target = pointer
      .split('/')
      .slice(1)
      .reduce<unknown>(
        (value, part) => (isSchema(value) ? value[part.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined),
        this.#root,
      );
    if (target === undefined) throw new UnsupportedSchema(under(at, '$ref'), `'${pointer}' leads nowhere`);
    const name = this.#gbnf.reserve('ref');
    this.#references.set(pointer, name);
    return this.#gbnf.define(name, this.#value(target, at, depth + 1));
  }

  #object(schema: Schema, at: string, depth: number): string {
    const properties = schema['properties'];
    const extra = schema['additionalProperties'];
    if (!isSchema(properties) || Object.keys(properties).length === 0) return this.#map(schema, extra, at, depth);
    const required = new Set(Array.isArray(schema['required']) ? schema['required'] : []);
    for (const name of required)
      if (typeof name !== 'string' || !Object.hasOwn(properties, name))
        throw new UnsupportedSchema(under(at, 'required'), `'${String(name)}' is not among the properties`);
    const members = Object.entries(properties).map(([name, value]) => ({
      rule: this.#gbnf.rule(
        'member',
        `${literal(`${JSON.stringify(name)}:`)} " "? ${this.#value(value, under(at, `properties.${name}`), depth + 1)}`,
      ),
      required: required.has(name),
    }));
    // From the last member to the first: what may follow when something stands before (`later`), and when nothing does (`first`).
    let later = '""';
    let first = '""';
    for (const member of members.toReversed()) {
      const next = this.#gbnf.rule('rest', `"," " "? ${member.rule} ${later}${member.required ? '' : ` | ${later}`}`);
      first = this.#gbnf.rule('begin', `${member.rule} ${later}${member.required ? '' : ` | ${first}`}`);
      later = next;
    }
    return this.#gbnf.rule('object', `"{" ${first} "}"`);
  }

  #map(schema: Schema, extra: unknown, at: string, depth: number): string {
    if (Array.isArray(schema['required']) && schema['required'].length > 0)
      throw new UnsupportedSchema(under(at, 'required'), 'it names members that have no schema');
    if (extra === false) return this.#gbnf.rule('object', '"{}"');
    const value =
      extra === undefined || extra === true ? this.#anything() : this.#value(extra, under(at, 'additionalProperties'), depth + 1);
    const member = this.#gbnf.rule('member', `${this.#text(0, undefined)} ":" " "? ${value}`);
    return this.#gbnf.rule('object', `"{" (${member} ("," " "? ${member})*)? "}"`);
  }

  #array(schema: Schema, at: string, depth: number): string {
    if (schema['prefixItems'] !== undefined) throw new UnsupportedSchema(under(at, 'prefixItems'), "'prefixItems' cannot be enforced here");
    const least = whole(schema['minItems'], 0, under(at, 'minItems'));
    const most = schema['maxItems'] === undefined ? undefined : whole(schema['maxItems'], 0, under(at, 'maxItems'));
    if (Math.max(least, most ?? 0) > MOST_REPEATS) throw new UnsupportedSchema(under(at, 'maxItems'), `more than ${MOST_REPEATS}`);
    if (most !== undefined && most < least) throw new UnsupportedSchema(under(at, 'maxItems'), "is less than 'minItems'");
    if (most === 0) return this.#gbnf.rule('array', '"[]"');
    const item = schema['items'] === undefined ? this.#anything() : this.#value(schema['items'], under(at, 'items'), depth + 1);
    const more = `("," " "? ${item}){${Math.max(0, least - 1)},${most === undefined ? '' : most - 1}}`;
    return this.#gbnf.rule('array', least === 0 ? `"[" (${item} ${more})? "]"` : `"[" ${item} ${more} "]"`);
  }

  #string(schema: Schema, at: string): string {
    const { format } = schema;
    const least = whole(schema['minLength'], 0, under(at, 'minLength'));
    const most = schema['maxLength'] === undefined ? undefined : whole(schema['maxLength'], 0, under(at, 'maxLength'));
    if (format !== undefined) {
      const pattern = typeof format === 'string' ? FORMATS[format] : undefined;
      if (pattern === undefined || schema['minLength'] !== undefined || most !== undefined)
        throw new UnsupportedSchema(under(at, 'format'), `the format ${JSON.stringify(format)} cannot be enforced here`);
      return this.#gbnf.rule('string', String.raw`"\"" ${pattern} "\""`);
    }
    if (Math.max(least, most ?? 0) > MOST_REPEATS) throw new UnsupportedSchema(under(at, 'maxLength'), `more than ${MOST_REPEATS}`);
    if (most !== undefined && most < least) throw new UnsupportedSchema(under(at, 'maxLength'), "is less than 'minLength'");
    return this.#gbnf.rule('string', this.#text(least, most));
  }

  #text(least: number, most: number | undefined): string {
    this.#char ??= this.#gbnf.rule('char', CHAR);
    return String.raw`"\"" ${this.#char}{${least},${most ?? ''}} "\""`;
  }

  #integer(schema: Schema, at: string): string {
    const bound = (key: string): number | undefined => {
      const value = schema[key];
      if (value === undefined) return undefined;
      if (typeof value !== 'number') throw new UnsupportedSchema(under(at, key), 'expected a number');
      return value;
    };
    const above = bound('exclusiveMinimum');
    const below = bound('exclusiveMaximum');
    const least = bound('minimum') ?? (above === undefined ? undefined : Math.floor(above) + 1);
    const most = bound('maximum') ?? (below === undefined ? undefined : Math.ceil(below) - 1);
    if (least === undefined && most === undefined) return this.#gbnf.rule('integer', INTEGER);
    if (most === undefined && least === 0) return this.#gbnf.rule('integer', '"0" | [1-9] [0-9]{0,14}');
    if (most === undefined && least === 1) return this.#gbnf.rule('integer', '[1-9] [0-9]{0,14}');
    if (least === undefined || most === undefined || most - least >= MOST_INTEGERS)
      throw new UnsupportedSchema(
        under(at, least === undefined ? 'maximum' : 'minimum'),
        `bounds can be enforced up to ${MOST_INTEGERS} apart`,
      );
    const [from, to] = [Math.ceil(least), Math.floor(most)];
    if (from > to) throw new UnsupportedSchema(under(at, 'minimum'), 'it allows nothing');
    return this.#gbnf.rule('integer', either(Array.from({ length: to - from + 1 }, (_, i) => `"${from + i}"`)));
  }

  #anything(): string {
    if (this.#any !== undefined) return this.#any;
    const name = this.#gbnf.reserve('any');
    this.#any = name;
    const text = this.#text(0, undefined);
    const member = `${text} ":" " "? ${name}`;
    const object = `"{" (${member} ("," " "? ${member})*)? "}"`;
    return this.#gbnf.define(name, `${object} | "[" (${name} ("," " "? ${name})*)? "]" | ${text} | ${NUMBER} | "true" | "false" | "null"`);
  }
}

function under(at: string, key: string): string {
  return at === '' ? key : `${at}.${key}`;
}

/** `allOf` of objects is one object with the members of all. */
function merged(schema: Schema, parts: readonly unknown[], at: string): Schema {
  const { allOf: _allOf, ...own } = schema;
  const all = [own, ...parts].filter((part) => isSchema(part) && Object.keys(part).length > 0) as Schema[];
  if (all.length === 1 && all[0] !== undefined) return all[0];
  if (all.some((part) => part['type'] !== undefined && part['type'] !== 'object'))
    throw new UnsupportedSchema(under(at, 'allOf'), "'allOf' can be enforced for objects only");
  return {
    type: 'object',
    properties: Object.assign({}, ...all.map((part) => part['properties'] ?? {})) as unknown,
    required: all.flatMap((part) => (Array.isArray(part['required']) ? (part['required'] as unknown[]) : [])),
  };
}

/** A whole grammar for one schema. @throws UnsupportedSchema */
export function jsonSchemaGrammar(schema: unknown): string {
  const gbnf = new Gbnf();
  gbnf.define('root', '""');
  gbnf.define('root', new SchemaWriter(gbnf, schema).write());
  return gbnf.toString();
}
