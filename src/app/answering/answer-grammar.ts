import {
  ANY_OBJECT,
  callsOnly,
  engineForm,
  textWithCalls,
  type CallForm,
  type CallLayout,
  type Grammar,
} from '../../grammar/index.ts';
import type { AnswerFormat, ToolUse } from '../../http/index.ts';
import type { AnswerGrammar } from '../../serving/index.ts';
import { callBegin, callEnd, type ToolSyntax } from '../../text/index.ts';

/** What a request asks of its answer's form. */
export interface AnswerForm {
  readonly format: AnswerFormat | null;
  /** The tools that may be called, and how the model writes calls. */
  readonly tools: { readonly use: ToolUse; readonly syntax: ToolSyntax } | null;
}

/**
 * What the engine holds an answer to: a format, calls where the request demands one, or either of the two. Undefined: any text.
 * @throws REQUEST_INVALID naming what cannot be enforced
 */
export function answerGrammar({ format, tools }: AnswerForm): AnswerGrammar | undefined {
  if (!tools) return format ? engineGrammar(grammarOf(format), format.param) : undefined;
  const { use, syntax } = tools;
  const { choice, isParallel } = use;
  const isNamed = typeof choice === 'object';
  const layout: CallLayout = { ...syntax, isSingle: isNamed || !isParallel };
  const calls = use.tools.filter(({ name }) => !isNamed || name === choice.name).map((tool) => callForm(tool, syntax));
  if (choice !== 'auto') return engineGrammar(callsOnly(calls, layout), 'tools');
  if (!format) return engineGrammar(textWithCalls(calls, layout), 'tools');
  return engineGrammar({ kind: 'either', options: [grammarOf(format), callsOnly(calls, layout)] }, format.param);
}

function callForm({ name, parameters, isStrict, param }: ToolUse['tools'][number], syntax: ToolSyntax): CallForm {
  return { begin: callBegin(syntax, name), end: callEnd(syntax), schema: isStrict ? parameters : null, param };
}

function engineGrammar(grammar: Grammar, param: string): AnswerGrammar {
  return { definition: engineForm(grammar, param), param };
}

function grammarOf(format: AnswerFormat): Grammar {
  switch (format.kind) {
    case 'json-object':
      return ANY_OBJECT;
    case 'json-schema':
      return { kind: 'json', schema: format.schema };
    case 'regex':
      return { kind: 'regex', pattern: format.pattern };
    case 'choice':
      return { kind: 'choice', texts: format.choices };
    default:
      return format satisfies never;
  }
}
