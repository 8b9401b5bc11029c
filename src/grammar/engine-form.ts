import { fail } from '../base/index.ts';
import type { Grammar } from './grammar.ts';
import { checkJsonSchema } from './json-schema.ts';
import { GRAMMAR_LIMITS } from './limits.ts';

/**
 * White space that JSON may have in one place: enough for a line break and a deep indentation. Without a bound a model that
 * is unsure can go on with white space until its tokens are used up.
 */
const WHITE_SPACE = '[ \\n\\r\\t]{1,32}';
const ANY_TEXT = '/(.|\\n)*/';

/**
 * A grammar in the engine's form: rules in its dialect of Lark, and the JSON schemas that the rules name.
 * @param param the request's field that the grammar is from, for messages
 * @throws REQUEST_INVALID what is wrong with a schema, an expression or a choice
 */
export function engineForm(grammar: Grammar, param: string): string {
  const form = JSON.stringify({ grammars: new RuleWriter(param).write(grammar) });
  if (form.length > GRAMMAR_LIMITS.grammarLength) {
    const message = `${param}: the grammar has ${form.length} characters, at most ${GRAMMAR_LIMITS.grammarLength} are allowed`;
    fail('REQUEST_INVALID', message, { param });
  }
  return form;
}

/** Writes one grammar. Rules that stand inside others get names of their own. */
class RuleWriter {
  readonly #param: string;
  readonly #rules: string[] = [];
  readonly #schemas: object[] = [];

  constructor(param: string) {
    this.#param = param;
  }

  write(grammar: Grammar): object[] {
    const rules = [`start: ${this.#body(grammar)}`, ...this.#rules];
    return [{ lark_grammar: rules.join('\n') }, ...this.#schemas];
  }

  /** What stands on the right of a rule. */
  #body(grammar: Grammar): string {
    const param = this.#param;
    switch (grammar.kind) {
      case 'json':
        return this.#json(grammar.schema, grammar.param ?? param);
      case 'regex':
        return `/${larkRegex(grammar.pattern, param)}/`;
      case 'choice':
        checkChoice(grammar.texts, param);
        return grammar.texts.map((text) => JSON.stringify(text)).join(' | ');
      case 'either':
        return grammar.options.map((option) => this.#rule(this.#body(option))).join(' | ');
      case 'sequence':
        return grammar.parts.map((part) => this.#rule(this.#body(part))).join(' ');
      case 'repeat': {
        const part = this.#rule(this.#body(grammar.part));
        return `${part} (${JSON.stringify(grammar.separator)} ${part})*`;
      }
      case 'marked': {
        // Lazy: the text ends with the first marker, so that nothing but the part can follow it.
        const head = this.#rule(`/(.|\\n)*${larkRegex(escapeRegex(grammar.marker), param)}/`, '[lazy]');
        const marked = this.#rule(`${head} ${this.#rule(this.#body(grammar.part))}`);
        const rest = this.#rule(ANY_TEXT);
        return grammar.isSingle ? `${rest} | ${marked}` : `${marked}* ${rest}`;
      }
      default:
        return grammar satisfies never;
    }
  }

  /** The name of a new rule. */
  #rule(body: string, attributes = ''): string {
    const name = `r${this.#rules.length}`;
    this.#rules.push(`${name}${attributes}: ${body}`);
    return name;
  }

  /** The name of a schema. */
  #json(schema: unknown, param: string): string {
    const name = `j${this.#schemas.length}`;
    const checked = checkJsonSchema(schema, param);
    this.#schemas.push({ name, json_schema: { ...checked, 'x-guidance': { whitespace_pattern: WHITE_SPACE } } });
    return `@${name}`;
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

function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => `\\${char}`);
}
