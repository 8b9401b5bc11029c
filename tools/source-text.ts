/**
 * A TypeScript source as text, enough for checks by pattern: comments blanked, string contents blanked, line numbers
 * kept. It is a scanner, not a parser: it knows comments, the three kinds of quotes and regular expression literals.
 */
export interface SourceText {
  /** Comments are spaces; everything else is as written. */
  readonly withStrings: string;
  /** Comments and the contents of strings, templates and regular expressions are spaces: only code is left. */
  readonly codeOnly: string;
}

export interface ImportSite {
  readonly specifier: string;
  readonly line: number;
  /** `import type` or `export type`: nothing of it is left when types are stripped. */
  readonly isTypeOnly: boolean;
}

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** The end (exclusive) of the literal that opens at `start` with `quote`; a backslash takes the next character along. */
function endOfLiteral(source: string, start: number, quote: string): number {
  let inClass = false;
  for (let i = start + 1; i < source.length; i++) {
    const char = source[i];
    if (char === '\\') i++;
    else if (quote === '/' && char === '[') inClass = true;
    else if (quote === '/' && char === ']') inClass = false;
    else if (char === quote && !inClass) return i + 1;
    else if (char === '\n' && quote !== '`') return i; // unterminated: the compiler reports it
  }
  return source.length;
}

/** Whether a slash after this code opens a regular expression rather than divides. */
function opensRegExp(before: string): boolean {
  const trimmed = before.trimEnd();
  return /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|yield|await))$/.test(trimmed.slice(-12));
}

/** Blanks comments, and in `codeOnly` also the insides of literals. A template's `${…}` stays code in neither. */
export function scanSource(source: string): SourceText {
  let withStrings = '';
  let codeOnly = '';
  let i = 0;
  while (i < source.length) {
    const two = source.slice(i, i + 2);
    const char = source[i];
    if (two === '//' || two === '/*') {
      const closing = two === '//' ? source.indexOf('\n', i) : source.indexOf('*/', i + 2) + 2;
      const end = closing < i + 2 ? source.length : closing;
      withStrings += blank(source.slice(i, end));
      codeOnly += blank(source.slice(i, end));
      i = end;
    } else if (char === '"' || char === "'" || char === '`' || (char === '/' && opensRegExp(codeOnly))) {
      const end = endOfLiteral(source, i, char);
      const literal = source.slice(i, end);
      withStrings += literal;
      codeOnly += char === '`' ? keepSubstitutions(literal) : char + blank(literal.slice(1, -1)) + literal.slice(-1);
      i = end;
    } else {
      withStrings += char;
      codeOnly += char;
      i++;
    }
  }
  return { withStrings, codeOnly };
}

/** A template's text is blanked, the code of its flat `${…}` parts is kept. */
function keepSubstitutions(template: string): string {
  let kept = '';
  let from = 0;
  for (const match of template.matchAll(/\$\{[^{}]*\}/g)) {
    kept += blank(template.slice(from, match.index)) + match[0];
    from = match.index + match[0].length;
  }
  return kept + blank(template.slice(from));
}

/** The one-based line of an offset. */
export function lineAt(source: string, offset: number): number {
  let line = 1;
  for (let at = source.indexOf('\n'); at !== -1 && at < offset; at = source.indexOf('\n', at + 1)) line++;
  return line;
}

/** Every `import … from`, `export … from`, bare `import '…'` and `import('…')` of a source. */
export function findImports(text: SourceText): ImportSite[] {
  const pattern =
    /\b(?:import|export)\s+(type\s+)?(?:[\w*\s{},$]+?\s+)?from\s*(['"])(.*?)\2|\bimport\s*\(?\s*(['"])(.*?)\4/g;
  return [...text.withStrings.matchAll(pattern)]
    .filter((match) => /^(?:import|export)$/.test(text.codeOnly.slice(match.index, match.index + 6)))
    .map((match) => ({
      specifier: match[3] ?? match[5],
      line: lineAt(text.withStrings, match.index),
      isTypeOnly: match[1] !== undefined,
    }));
}

/** Every `new URL('…', import.meta.url)`: how a worker or a child process is named. */
export function findUrls(text: SourceText): ImportSite[] {
  return [...text.withStrings.matchAll(/new URL\(\s*(['"])(\.{1,2}\/.*?)\1\s*,\s*import\.meta\.url/g)].map((match) => ({
    specifier: match[2],
    line: lineAt(text.withStrings, match.index),
    isTypeOnly: false,
  }));
}
