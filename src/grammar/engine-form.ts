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
 * A grammar in the engine's form: rules in its dialect of Lark, and JSON schemas that they name.
 * @param param the request's field that the grammar is from, for messages
 * @throws REQUEST_INVALID what is wrong with a schema, an expression or a choice
 */
export function engineForm(grammar: Grammar, param: string): string {
  const rules: string[] = [];
  const schemas: object[] = [];
  const rule = (body: string, attributes = ''): string => {
    const name = `r${rules.length}`;
    rules.push(`${name}${attributes}: ${body}`);
    return name;
  };
  const write = (part: Grammar): string => {
    switch (part.kind) {
      case 'json': {
        const name = `j${schemas.length}`;
        const schema = checkJsonSchema(part.schema, part.param);
        schemas.push({ name, json_schema: { ...schema, 'x-guidance': { whitespace_pattern: WHITE_SPACE } } });
        return `@${name}`;
      }
      case 'regex':
        return `/${larkRegex(part.pattern, param)}/`;
      case 'text':
        return JSON.stringify(part.text);
      case 'sequence':
        return rule(part.parts.map(write).join(' '));
      case 'choice':
        checkChoice(part.options, param);
        return rule(part.options.map(write).join(' | '));
      case 'repeat': {
        const once = rule(write(part.part));
        return rule(part.separator === '' ? `${once}+` : `${once} (${JSON.stringify(part.separator)} ${once})*`);
      }
    }
  };
  rules.push(`start: ${write(grammar)}`);
  const form = JSON.stringify({ grammars: [{ lark_grammar: rules.join('\n') }, ...schemas] });
  if (form.length > GRAMMAR_LIMITS.grammarLength) {
    const message = `${param}: the grammar has ${form.length} characters, at most ${GRAMMAR_LIMITS.grammarLength} are allowed`;
    fail('REQUEST_INVALID', message, { param });
  }
  return form;
}

function checkChoice(options: readonly Grammar[], param: string): void {
  const { choices, choicesLength } = GRAMMAR_LIMITS;
  if (options.length === 0 || options.length > choices) {
    fail('REQUEST_INVALID', `${param}: has ${options.length} choices, expected 1 to ${choices}`, { param });
  }
  const length = options.reduce((sum, option) => sum + (option.kind === 'text' ? option.text.length : 0), 0);
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
