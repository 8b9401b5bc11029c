import { safeFullMatch } from './safe-regex.ts';

/**
 * The value for a module from rank_pattern or alpha_pattern: of the keys that match the end of its path, `(.*\.)?(KEY)`, the first.
 * @throws CONFIG_INVALID when a key is not a regular expression
 */
export function patternMatcher(
  patterns: Readonly<Record<string, number>>,
  field: string,
): (path: string) => number | undefined {
  const compiled = Object.entries(patterns).map(
    ([key, value]) => [safeFullMatch(`(.*\\.)?(${key})`, field), value] as const,
  );
  return (path) => compiled.find(([matches]) => matches(path))?.[1];
}
