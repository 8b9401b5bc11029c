/** Whether a document is of a schema of an OpenAPI description, by ajv. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

type Schema = Readonly<Record<string, unknown>>;

/** Checks documents by the names of schemas. An empty list means that a document is of its schema. */
export class NamedSchemas {
  readonly #ajv: Ajv2020;
  readonly #compiled = new Map<string, ValidateFunction>();

  /** @param schemas as `components.schemas` of an OpenAPI 3.1 description has them */
  constructor(schemas: Readonly<Record<string, Schema>>) {
    // Formats are names such as `unixtime`, and annotations are no keywords: neither is checked, all else is.
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    this.#ajv.addSchema({ $id: 'spec', components: { schemas: plain(schemas) } });
  }

  /** What is wrong with a document, with the place. @throws Error there is no such schema */
  problems(name: string, document: unknown): string[] {
    return this.problemsBy({ $ref: `spec#/components/schemas/${name}` }, document);
  }

  problemsBy(schema: Schema, document: unknown): string[] {
    // References from outside of the description go into it.
    const text = JSON.stringify(schema).replaceAll('"#/components/', '"spec#/components/');
    const validate = this.#compiled.get(text) ?? this.#ajv.compile(JSON.parse(text) as Schema);
    this.#compiled.set(text, validate);
    if (validate(document)) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message = '', params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    );
  }
}

/** OpenAI's description is of 3.1 and still says a few things as 3.0 does: `exclusiveMinimum: true`, `nullable`. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const { exclusiveMinimum, exclusiveMaximum, nullable, ...rest } = value as Record<string, unknown>;
  const schema = Object.fromEntries(Object.entries(rest).map(([key, inner]) => [key, plain(inner)]));
  for (const [keyword, bound, isExclusive] of [
    ['exclusiveMinimum', 'minimum', exclusiveMinimum],
    ['exclusiveMaximum', 'maximum', exclusiveMaximum],
  ] as const) {
    if (isExclusive === undefined) continue;
    schema[keyword] = isExclusive === true ? schema[bound] : plain(isExclusive);
  }
  if (nullable === true) return { anyOf: [schema, { type: 'null' }] };
  return nullable === undefined || nullable === false ? schema : { ...schema, nullable: plain(nullable) };
}
