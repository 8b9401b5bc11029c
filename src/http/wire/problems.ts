import type { z } from '@hono/zod-openapi';
import type { Problem } from '../../base/index.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

const MAX_TOLD = 5;
const MAX_SHOWN = 60;

/** JSON's words for the schema library's types. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  int: 'a whole number',
  null: 'null',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a string',
};

/**
 * What is wrong with a body, in the words of its sender: `messages[2].role must be one of system|user, got "bot"`.
 * @param body what was parsed: the values are shown from it
 */
export function describeIssues(
  issues: readonly Issue[],
  body: unknown,
): { readonly message: string; readonly param: string; readonly problems: readonly Problem[] } {
  const problems = issues.flatMap((issue) => describe(issue, body));
  const told = problems.slice(0, MAX_TOLD).map(({ message }) => message);
  if (problems.length > MAX_TOLD) told.push(`and ${problems.length - MAX_TOLD} more problems`);
  return { message: told.join('; '), param: problems[0]?.where ?? '', problems };
}

function describe(issue: Issue, body: unknown): Problem[] {
  const where = pathText(issue.path);
  const name = where === '' ? 'the body' : where;
  const value = valueAt(body, issue.path);
  const must = (rule: string): Problem[] => [
    {
      where,
      message:
        value === undefined ? `${name} is missing: it must be ${rule}` : `${name} must be ${rule}, got ${show(value)}`,
    },
  ];
  switch (issue.code) {
    case 'invalid_type':
      return must(TYPE_NAMES[issue.expected] ?? issue.expected);
    case 'invalid_value':
      return must(oneOf(issue.values));
    case 'too_small':
      return must(sizeRule('at least', issue.origin, Number(issue.minimum)));
    case 'too_big':
      return must(sizeRule('at most', issue.origin, Number(issue.maximum)));
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const field = pathText([...issue.path, key]);
        return { where: field, message: `${field} is not a field that this server knows: leave it out` };
      });
    case 'invalid_key':
      return [{ where, message: `${name} ${issue.issues[0]?.message ?? issue.message}` }];
    case 'invalid_union':
      return describeUnion(issue, body, must);
    default:
      return [{ where, message: `${name} ${issue.message}` }];
  }
}

/** Of several alternatives, the one that the sender came closest to: where the trouble lies deepest. */
function describeUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  body: unknown,
  must: (rule: string) => Problem[],
): Problem[] {
  const inside = (branch: readonly Issue[]): Problem[] =>
    branch.flatMap((inner) => describe({ ...inner, path: [...issue.path, ...inner.path] }, body));
  if (issue.discriminator !== undefined && 'options' in issue) return must(oneOf(issue.options ?? []));
  // Of what may also be null, the other kind is what was meant.
  const meant = issue.errors.filter(([first]) => !(first?.code === 'invalid_type' && first.expected === 'null'));
  if (meant.length === 1 && meant.length < issue.errors.length) return inside(meant[0] ?? []);
  const depth = (branch: readonly Issue[]): number => Math.max(...branch.map(({ path }) => path.length));
  const closest = issue.errors.toSorted((a, b) => depth(b) - depth(a))[0];
  if (closest && depth(closest) > 0) return inside(closest);
  const types = issue.errors.flat().map(alternative);
  return must([...new Set(types)].join(' or '));
}

/** What one of several alternatives asks for. */
function alternative(issue: Issue): string {
  if (issue.code === 'invalid_type') return TYPE_NAMES[issue.expected] ?? issue.expected;
  return issue.code === 'invalid_value' ? oneOf(issue.values) : issue.message;
}

function sizeRule(bound: string, origin: string, limit: number): string {
  if (origin === 'array') return `${bound} ${limit} long`;
  return origin === 'string' ? `${bound} ${limit} characters long` : `${bound} ${limit}`;
}

function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? show(values[0]) : `one of ${values.map(String).join('|')}`;
}

/** `messages[2].role`. */
function pathText(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

function valueAt(body: unknown, path: Path): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}
