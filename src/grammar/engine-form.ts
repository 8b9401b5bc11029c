import { fail } from '../base/index.ts';
import type { Grammar } from './grammar.ts';
import { checkJsonSchema } from './json-schema.ts';
import { GRAMMAR_LIMITS } from './limits.ts';

/**
 * White space that JSON may have in one place: enough for a line break and a deep indentation. Without a bound a model that
 * is unsure can go on with white space until its tokens are used up.
 */
const WHITE_SPACE = '[ \\n\\r\\t]{1,32}';

/**
 * A grammar in the engine's form: a rule in its dialect of Lark, and the JSON schema that the rule names.
 * @param param the request's field that the grammar is from, for messages
 * @throws REQUEST_INVALID what is wrong with a schema, an expression or a choice
 */
export function engineForm(grammar: Grammar, param: string): string {
  const form = JSON.stringify({ grammars: partsOf(grammar, param) });
  if (form.length > GRAMMAR_LIMITS.grammarLength) {
    const message = `${param}: the grammar has ${form.length} characters, at most ${GRAMMAR_LIMITS.grammarLength} are allowed`;
    fail('REQUEST_INVALID', message, { param });
  }
  return form;
}

function partsOf(grammar: Grammar, param: string): object[] {
  const start = (body: string): object => ({ lark_grammar: `start: ${body}` });
  switch (grammar.kind) {
    case 'json': {
      const schema = checkJsonSchema(grammar.schema, param);
      const name = 'json';
      return [
        start(`@${name}`),
        { name, json_schema: { ...schema, 'x-guidance': { whitespace_pattern: WHITE_SPACE } } },
      ];
    }
    case 'regex':
      return [start(`/${larkRegex(grammar.pattern, param)}/`)];
    case 'choice':
      checkChoice(grammar.texts, param);
      return [start(grammar.texts.map((text) => JSON.stringify(text)).join(' | '))];
    default:
      return grammar satisfies never;
  }
}

function checkChoice(texts: readonly string[], param: string): void {
  const { choices, choicesLength } = GRAMMAR_LIMITS;
  if (texts.length === 0 || texts.length > choices) {
    fail('REQUEST_INVALID', `${param}: has ${texts.length} choices, expected 1 to ${choices}`, { param });
  }
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  if (length > choicesLength) {
    fail('REQUEST_INVALID', `${param}: the choices have ${length} characters, at most ${choicesLength} are allowed`, {
      param,
    });
  }
}

/** An expression as it stands between the slashes of a rule. */
function larkRegex(pattern: string, param: string): string {
  const { patternLength } = GRAMMAR_LIMITS;
  if (pattern.length > patternLength) {
    const message = `${param}: the expression has ${pattern.length} characters, at most ${patternLength} are allowed`;
    fail('REQUEST_INVALID', message, { param });
  }
  const written = pattern.replace(/\\[^]|[/\n\r\t\\]/g, (found) => {
    if (found === '\\') return fail('REQUEST_INVALID', `${param}: the expression ends in a backslash`, { param });
    return { '/': '\\/', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\\n': '\\n' }[found] ?? found;
  });
  return written;
}
