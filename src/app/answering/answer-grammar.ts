import { ANY_OBJECT, engineForm, type Grammar } from '../../grammar/index.ts';
import type { AnswerFormat } from '../../http/index.ts';
import type { AnswerGrammar } from '../../serving/index.ts';

/** What the engine holds an answer to. Undefined: any text. @throws REQUEST_INVALID naming what cannot be enforced */
export function answerGrammar(format: AnswerFormat | null): AnswerGrammar | undefined {
  return format ? { definition: engineForm(grammarOf(format), format.param), param: format.param } : undefined;
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
