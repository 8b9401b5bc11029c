import { fail } from '../base/index.ts';
import { isRecord, show } from '../formats/index.ts';
import { isSchema, keywordKind, valueProblem } from './keywords.ts';
import { GRAMMAR_LIMITS } from './limits.ts';

type Schema = boolean | Readonly<Record<string, unknown>>;

/**
 * Checks a JSON Schema against what can be enforced, and writes it in the engine's form: without annotations, and with
 * everything that is referred to under `$defs` of the root by a plain name.
 *
 * Subset of JSON Schema 2020-12 (see keywords.ts), with the order of `properties` as the order in the answer.
 * @param param the request's field that holds the schema, for messages
 * @throws REQUEST_INVALID naming the first keyword, with its JSON pointer, that is not supported or is wrong
 */
export function checkJsonSchema(schema: unknown, param: string): Readonly<Record<string, unknown>> {
  return new SchemaCheck(schema, param).run();
}

/** A schema that is referred to. */
interface Definition {
  readonly name: string;
  readonly pointer: string;
  readonly schema: unknown;
  /** Definitions that the same value must match. */
  readonly direct: Set<string>;
}

class SchemaCheck {
  readonly #root: unknown;
  readonly #param: string;
  readonly #definitions = new Map<string, Definition>();
  #numNodes = 0;

  constructor(root: unknown, param: string) {
    this.#root = root;
    this.#param = param;
  }

  run(): Readonly<Record<string, unknown>> {
    const length = (JSON.stringify(this.#root) as string | undefined)?.length ?? 0;
    if (length > GRAMMAR_LIMITS.schemaLength) {
      this.#refuse(
        '#',
        `the schema has ${length} characters, which is more than the ${GRAMMAR_LIMITS.schemaLength} allowed`,
      );
    }
    const root = this.#schema(this.#root, '#', 0, new Set());
    const definitions: Record<string, Schema> = {};
    // A definition can refer to more of them: the map grows while it is walked.
    for (const { name, pointer, schema, direct } of this.#definitions.values()) {
      definitions[name] = this.#schema(schema, pointer, 0, direct);
    }
    this.#checkProgress();
    if (root === false) return this.#refuse('#', 'the schema is false: no value matches it');
    const keywords = root === true ? {} : root;
    return this.#definitions.size > 0 ? { ...keywords, $defs: definitions } : keywords;
  }

  #schema(value: unknown, pointer: string, depth: number, direct: Set<string> | undefined): Schema {
    if (!isSchema(value)) this.#refuse(pointer, `must be a schema (an object, true or false), got ${show(value)}`);
    if (depth > GRAMMAR_LIMITS.schemaDepth) {
      this.#refuse(pointer, `lies deeper than the ${GRAMMAR_LIMITS.schemaDepth} levels allowed`);
    }
    if (++this.#numNodes > GRAMMAR_LIMITS.schemaNodes) {
      this.#refuse(pointer, `the schema has more than the ${GRAMMAR_LIMITS.schemaNodes} parts allowed`);
    }
    if (typeof value === 'boolean') return value;
    const checked: [string, unknown][] = [];
    for (const [keyword, given] of Object.entries(value)) {
      const at = `${pointer}/${escapePointer(keyword)}`;
      const child = (schema: unknown, place: string, isSameValue: boolean): Schema =>
        this.#schema(schema, place, depth + 1, isSameValue ? direct : undefined);
      switch (keywordKind(keyword, given)) {
        case undefined:
          return this.#refuse(at, `the keyword ${JSON.stringify(keyword)} is not supported here: leave it out`);
        case 'annotation':
          break;
        case 'reference':
          checked.push([keyword, this.#reference(given, at, direct)]);
          break;
        case 'schema':
          checked.push([keyword, child(given, at, false)]);
          break;
        case 'schemas':
        case 'part-schemas': {
          const isSameValue = keywordKind(keyword, given) === 'schemas';
          if (!Array.isArray(given) || given.length === 0) this.#refuse(at, 'must be a list of at least one schema');
          checked.push([keyword, given.map((item: unknown, i) => child(item, `${at}/${i}`, isSameValue))]);
          break;
        }
        case 'schema-map': {
          if (!isRecord(given)) this.#refuse(at, 'must be an object of schemas');
          const entries = Object.entries(given).map(([name, item]) => [
            name,
            child(item, `${at}/${escapePointer(name)}`, false),
          ]);
          checked.push([keyword, Object.fromEntries(entries)]);
          break;
        }
        case 'value': {
          const problem = valueProblem(keyword, given);
          if (problem !== undefined) this.#refuse(at, `${problem}, got ${show(given)}`);
          checked.push([keyword, given]);
        }
      }
    }
    this.#checkMinProperties(value, pointer);
    return Object.fromEntries(checked);
  }

  /** Properties without a name of their own can come twice in an answer, and count once: only those that must be there are sure. */
  #checkMinProperties({ minProperties, required }: Readonly<Record<string, unknown>>, pointer: string): void {
    const numSure = Array.isArray(required) ? new Set(required).size : 0;
    if (typeof minProperties === 'number' && minProperties > Math.max(1, numSure)) {
      const message = `asks for ${minProperties} properties where "required" names ${numSure}: name them, or leave it out`;
      this.#refuse(`${pointer}/minProperties`, message);
    }
  }

  #reference(reference: unknown, at: string, direct: Set<string> | undefined): string {
    if (typeof reference !== 'string' || !/^#(?:$|\/)/.test(reference)) {
      this.#refuse(at, `must be a place in this schema ("#/$defs/NAME"), got ${show(reference)}`);
    }
    let definition = this.#definitions.get(reference);
    if (!definition) {
      let schema: unknown = this.#root;
      for (const segment of reference.split('/').slice(1)) {
        const name = unescapePointer(segment);
        const isThere =
          Array.isArray(schema) || isRecord(schema) ? name !== 'length' && Object.hasOwn(schema, name) : false;
        if (!isThere) this.#refuse(at, `refers to ${show(reference)}, which is not there`);
        schema = (schema as Record<string, unknown>)[name];
      }
      definition = { name: `d${this.#definitions.size}`, pointer: reference, schema, direct: new Set() };
      this.#definitions.set(reference, definition);
    }
    direct?.add(definition.name);
    return `#/$defs/${definition.name}`;
  }

  /** A definition that refers to itself for the very same value says nothing, and would be followed for ever. */
  #checkProgress(): void {
    const byName = new Map([...this.#definitions.values()].map((definition) => [definition.name, definition]));
    const state = new Map<string, 'open' | 'done'>();
    const visit = (definition: Definition): void => {
      if (state.get(definition.name) === 'done') return;
      if (state.get(definition.name) === 'open') {
        this.#refuse(definition.pointer, 'refers to itself without a property or an item between');
      }
      state.set(definition.name, 'open');
      for (const name of definition.direct) visit(byName.get(name) as Definition);
      state.set(definition.name, 'done');
    };
    for (const definition of byName.values()) visit(definition);
  }

  #refuse(pointer: string, message: string): never {
    return fail('REQUEST_INVALID', `${this.#param}: ${pointer}: ${message}`, { param: this.#param });
  }
}

/** RFC 6901. */
function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** RFC 6901, in a URI's fragment. A fragment that is no URI stands for itself. */
function unescapePointer(segment: string): string {
  let text = segment;
  try {
    text = decodeURIComponent(segment);
  } catch {
    // Malformed percent signs: the name may hold them as they are.
  }
  return text.replaceAll('~1', '/').replaceAll('~0', '~');
}
