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
  const name = nameOf(where);
  const must = (rule: string): Problem[] => [problemOf(issue.path, body, rule)];
  switch (issue.code) {
    case 'invalid_type':
      return must(typeName(issue.expected));
    case 'invalid_value':
      return must(oneOf(issue.values));
    case 'too_small':
    case 'too_big':
      return [problemOf(issue.path, body, sizeRule(issue), lengthOf)];
    case 'invalid_format':
      return issue.format === 'date' ? must('a day, as 2026-01-31') : [{ where, message: `${name} ${issue.message}` }];
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const field = pathText([...issue.path, key]);
        return { where: field, message: `${field} is not a field that this server knows: leave it out` };
      });
    case 'invalid_key':
      return [{ where, message: `${name} ${issue.issues[0]?.message ?? issue.message}` }];
    case 'invalid_union':
      return describeUnion(issue, body);
    default:
      return [{ where, message: `${name} ${issue.message}` }];
  }
}

/** What the value at a path must be, and what it is. */
function problemOf(path: Path, body: unknown, rule: string, shown: (value: unknown) => string = show): Problem {
  const where = pathText(path);
  const value = valueAt(body, path);
  const name = nameOf(where);
  const message =
    value === undefined ? `${name} is missing: it must be ${rule}` : `${name} must be ${rule}, got ${shown(value)}`;
  return { where, message };
}

function nameOf(where: string): string {
  return where === '' ? 'the body' : where;
}

/** Of several alternatives, the one that the sender came closest to. */
function describeUnion(issue: Extract<Issue, { code: 'invalid_union' }>, body: unknown): Problem[] {
  if (issue.discriminator !== undefined && 'options' in issue) {
    return [problemOf(issue.path, body, oneOf(issue.options ?? []))];
  }
  // One whose kind is another altogether was not meant, unless they all are.
  const meant = issue.errors.filter((branch) => !branch.some((inner) => isOfType(inner) && inner.path.length === 0));
  const [closest, ...others] = meant.toSorted(
    (one, other) => numOfType(one) - numOfType(other) || laterType(one, other),
  );
  if (!closest) return [problemOf(issue.path, body, anyOf(issue.errors.flat()))];
  const isTied = (other: readonly Issue[]): boolean =>
    numOfType(closest) > 0 && numOfType(other) === numOfType(closest) && laterType(closest, other) === 0;
  // An object in a list of numbers, of texts or of lists could have been any of them.
  const wrong = [closest, ...others.filter(isTied)].flatMap((branch) => branch.find(isOfType) ?? []);
  if (wrong.length > 1) return [problemOf([...issue.path, ...(wrong[0]?.path ?? [])], body, anyOf(wrong))];
  return closest.flatMap((inner) => describe({ ...inner, path: [...issue.path, ...inner.path] }, body));
}

function isOfType({ code }: Issue): boolean {
  return code === 'invalid_type' || code === 'invalid_value';
}

function numOfType(branch: readonly Issue[]): number {
  return branch.filter(isOfType).length;
}

/** Negative when the first value of a wrong kind comes later or lies deeper in `one`: more of it fits. */
function laterType(one: readonly Issue[], other: readonly Issue[]): number {
  const [path = [], than = []] = [one, other].map((branch) => branch.find(isOfType)?.path);
  for (const [at, key] of path.entries()) {
    const [here, there] = [key, than[at]];
    if (typeof here === 'number' && typeof there === 'number' && here !== there) return there - here;
  }
  return than.length - path.length;
}

/** What several alternatives ask for. */
function anyOf(issues: readonly Issue[]): string {
  const rules = issues.flatMap((issue) => {
    if (issue.code === 'invalid_type') return [typeName(issue.expected)];
    return issue.code === 'invalid_value' ? [oneOf(issue.values)] : [];
  });
  return [...new Set(rules)].join(' or ');
}

function typeName(expected: string): string {
  return TYPE_NAMES[expected] ?? expected;
}

function sizeRule(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
  const [bound, past, limit] =
    issue.code === 'too_small'
      ? (['at least', 'more than', Number(issue.minimum)] as const)
      : (['at most', 'less than', Number(issue.maximum)] as const);
  const rule = `${issue.inclusive === false ? past : bound} ${limit}`;
  if (issue.origin === 'array') return `${rule} long`;
  return issue.origin === 'string' ? `${rule} ${limit === 1 ? 'character' : 'characters'} long` : rule;
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

/** Of what is too long or too short its length; else the value. */
function lengthOf(value: unknown): string {
  return Array.isArray(value) || typeof value === 'string' ? String(value.length) : show(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}
