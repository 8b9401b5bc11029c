import type { Rng } from '../../src/base/index.ts';

/** A JSON schema, as far as `/openapi.json` uses it. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly propertyNames?: JsonSchema;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

const TEXTS = [
  '',
  'a',
  'hello dear world',
  'weather_1',
  '日本語 😀',
  '\u0000\n\t',
  '<|im_end|>',
  '{"a": [1]}',
  '../../etc/passwd',
  '<tool_call>\n{"name": ',
  'x'.repeat(300),
];
const NUMBERS = [0, -0, 1, -1, 0.5, 2, 7, 40, 1e-300, 1e308, -1e308, 2 ** 31, 2 ** 53, 1e21, 0.1 + 0.2];
const STRANGE: readonly unknown[] = [
  null,
  true,
  [],
  {},
  [[]],
  { a: null },
  '\ud800',
  '__proto__',
  Array.from({ length: 60 }, () => 0),
  ...NUMBERS,
  ...TEXTS,
];

/** Makes values of a schema, and values that are nearly of it, from a generator of random numbers. */
export class SchemaFuzzer {
  readonly #rng: Rng;
  readonly #components: Readonly<Record<string, JsonSchema>>;
  readonly #words: Readonly<Record<string, readonly unknown[]>>;

  /** @param words values that mean something, by the name of their field; undefined: one that is made from the schema */
  constructor(
    rng: Rng,
    components: Readonly<Record<string, JsonSchema>>,
    words: Readonly<Record<string, readonly unknown[]>> = {},
  ) {
    this.#rng = rng;
    this.#components = components;
    this.#words = words;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.#rng.nextBelow(items.length)];
  }

  chance(probability: number): boolean {
    return this.#rng.nextFloat() < probability;
  }

  /** A value of the schema, but for rules that JSON schema cannot say. @param field its name, for the words */
  valid(schema: JsonSchema, field = ''): unknown {
    const words = this.#words[field];
    const word = words && this.chance(0.9) ? this.pick(words) : undefined;
    if (word !== undefined) return word;
    // What is accepted in one neutral form only says so, and null is neutral everywhere.
    if (schema.description?.startsWith('Only ') && this.chance(0.95)) return null;
    if (schema.$ref !== undefined) return this.valid(this.#target(schema.$ref), field);
    // A reference with words beside it.
    if (schema.allOf?.[0]?.$ref !== undefined) return this.valid(schema.allOf[0], field);
    if (schema.const !== undefined) return schema.const;
    if (schema.enum) return this.pick(schema.enum);
    const branches = schema.anyOf ?? schema.oneOf;
    if (branches) return this.valid(this.pick(branches), field);
    const types = [schema.type ?? []].flat();
    switch (types.length === 0 ? 'any' : this.pick(types)) {
      case 'null':
        return null;
      case 'boolean':
        return this.chance(0.5);
      case 'integer':
        return Math.round(this.#number(schema, 12));
      case 'number':
        return this.#number(schema, 3);
      case 'string':
        return this.#text(schema);
      case 'array': {
        const length = Math.max(schema.minItems ?? 0, this.#rng.nextBelow(4));
        return Array.from({ length }, () => this.valid(schema.items ?? {}));
      }
      case 'object':
        return this.#object(schema);
      default:
        return null;
    }
  }

  /** The value with one to three of its parts replaced, removed or added to. */
  mutated(value: unknown): unknown {
    let changed = structuredClone(value);
    for (let n = 1 + this.#rng.nextBelow(3); n > 0; n--) changed = this.#changed(changed);
    return changed;
  }

  #changed(value: unknown): unknown {
    if (this.chance(0.25) || typeof value !== 'object' || value === null) return this.pick(STRANGE);
    if (Array.isArray(value)) {
      const at = this.#rng.nextBelow(value.length + 1);
      return value.toSpliced(at, this.chance(0.5) ? 1 : 0, this.#changed(value[at]));
    }
    const entries = Object.entries(value);
    if (entries.length === 0 || this.chance(0.1)) return { ...value, [this.pick(TEXTS)]: this.pick(STRANGE) };
    const [key, inner] = this.pick(entries);
    const others = entries.filter(([name]) => name !== key);
    return Object.fromEntries(this.chance(0.15) ? others : [...others, [key, this.#changed(inner)]]);
  }

  #object({ properties = {}, required = [], additionalProperties, propertyNames }: JsonSchema): unknown {
    const optional = Object.keys(properties).filter((name) => !required.includes(name));
    // Few at a time: a request with every field set contradicts itself somewhere.
    const some = optional.filter(() => this.chance(Math.min(0.5, 2.5 / optional.length)));
    const value = Object.fromEntries([...required, ...some].map((name) => [name, this.valid(properties[name], name)]));
    if (typeof additionalProperties !== 'object') return value;
    for (let n = this.#rng.nextBelow(3); n > 0; n--) {
      const name =
        propertyNames?.type === undefined || this.chance(0.2) ? this.pick(TEXTS) : String(this.#rng.nextBelow(1400));
      value[name] = this.valid(additionalProperties);
    }
    return value;
  }

  #number({ minimum, exclusiveMinimum, maximum }: JsonSchema, usual: number): number {
    const low = minimum ?? exclusiveMinimum ?? -usual;
    if (this.chance(0.1)) return Math.min(maximum ?? Infinity, Math.max(low, this.pick(NUMBERS)));
    const high = Math.min(maximum ?? Infinity, Math.max(low, low + usual));
    return low + this.#rng.nextFloat() * (high - low);
  }

  #text({ minLength = 0, pattern = '' }: JsonSchema): string {
    const isRight = new RegExp(pattern, 'u');
    const texts = TEXTS.filter((text) => text.length >= minLength);
    const right = texts.filter((text) => isRight.test(text));
    return this.pick(right.length > 0 ? right : texts);
  }

  #target(reference: string): JsonSchema {
    const name = reference.split('/').at(-1) ?? '';
    const schema = this.#components[name];
    if (!schema) throw new Error(`${reference} has no target`);
    return schema;
  }
}
