import { isRecord } from '../formats/index.ts';
import { GRAMMAR_LIMITS } from './limits.ts';

/** What the value of a keyword holds. */
export type KeywordKind =
  /** One schema. */
  | 'schema'
  /** A list of schemas that apply to the same value. */
  | 'schemas'
  /** A list of schemas, each for a part of the value. */
  | 'part-schemas'
  /** Schemas by name. */
  | 'schema-map'
  | 'reference'
  /** Says nothing about the value; left out. */
  | 'annotation'
  /** A plain value, checked by {@link valueProblem}. */
  | 'value';

/**
 * The keywords of JSON Schema that are enforced, and those that say nothing. Anything else is refused by name: to leave it out
 * silently would answer with values that the schema forbids.
 */
const KEYWORDS: Readonly<Record<string, KeywordKind>> = {
  type: 'value',
  enum: 'value',
  const: 'value',
  anyOf: 'schemas',
  oneOf: 'schemas',
  allOf: 'schemas',
  $ref: 'reference',
  properties: 'schema-map',
  patternProperties: 'schema-map',
  additionalProperties: 'schema',
  required: 'value',
  minProperties: 'value',
  maxProperties: 'value',
  items: 'schema',
  prefixItems: 'part-schemas',
  minItems: 'value',
  maxItems: 'value',
  minLength: 'value',
  maxLength: 'value',
  pattern: 'value',
  format: 'value',
  minimum: 'value',
  maximum: 'value',
  exclusiveMinimum: 'value',
  exclusiveMaximum: 'value',
  multipleOf: 'value',
  // Reached only by references.
  $defs: 'annotation',
  definitions: 'annotation',
  $schema: 'annotation',
  $comment: 'annotation',
  title: 'annotation',
  description: 'annotation',
  default: 'annotation',
  examples: 'annotation',
  deprecated: 'annotation',
  readOnly: 'annotation',
  writeOnly: 'annotation',
  contentEncoding: 'annotation',
  contentMediaType: 'annotation',
};

/** Values of keywords that are not enforced which ask for nothing. */
const NEUTRAL: Readonly<Record<string, unknown>> = { uniqueItems: false, nullable: false };

const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];
export const FORMATS = 'date-time time date duration email hostname ipv4 ipv6 uuid uri'.split(' ');
const COUNTS = ['minProperties', 'maxProperties', 'minItems', 'maxItems', 'minLength', 'maxLength'];
const NUMBERS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'];

/** Undefined: the keyword is not supported. */
export function keywordKind(keyword: string, value: unknown): KeywordKind | undefined {
  if (Object.hasOwn(KEYWORDS, keyword)) return KEYWORDS[keyword];
  return Object.hasOwn(NEUTRAL, keyword) && NEUTRAL[keyword] === value ? 'annotation' : undefined;
}

/** What the value of a keyword without schemas must be, where it is not. */
export function valueProblem(keyword: string, value: unknown): string | undefined {
  if (COUNTS.includes(keyword)) {
    const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 0;
    const { repetitions } = GRAMMAR_LIMITS;
    return isCount && value <= repetitions ? undefined : `must be a whole number from 0 to ${repetitions}`;
  }
  if (NUMBERS.includes(keyword)) {
    const isNumber = typeof value === 'number' && Number.isFinite(value);
    if (keyword !== 'multipleOf') return isNumber ? undefined : 'must be a number';
    return isNumber && value > 0 ? undefined : 'must be a number above 0';
  }
  switch (keyword) {
    case 'type':
      return (Array.isArray(value) ? value.length > 0 && value.every(isType) : isType(value))
        ? undefined
        : `must be of ${TYPES.join(', ')}, or a list of them`;
    case 'enum':
      return Array.isArray(value) && value.length > 0 ? undefined : 'must be a list of at least one value';
    case 'required':
      return isStrings(value) ? undefined : 'must be a list of names';
    case 'format':
      return typeof value === 'string' && FORMATS.includes(value)
        ? undefined
        : `is not one that is supported: ${FORMATS.join(', ')}`;
    case 'pattern': {
      const { patternLength } = GRAMMAR_LIMITS;
      return typeof value === 'string' && value.length <= patternLength
        ? undefined
        : `must be a regular expression of at most ${patternLength} characters`;
    }
    default:
      return undefined;
  }
}

/** A schema is an object of keywords, or true or false. */
export function isSchema(value: unknown): value is boolean | Record<string, unknown> {
  return typeof value === 'boolean' || isRecord(value);
}

function isType(value: unknown): boolean {
  return typeof value === 'string' && TYPES.includes(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
