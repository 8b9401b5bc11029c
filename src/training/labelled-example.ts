import { EspalierError, fail, type Problem } from '../base/index.ts';
import { compareText, labelsProblem, type LabelledExample, type TrainingFile } from '../formats/index.ts';
import type { ChatMessage, ChatRenderer } from '../text/index.ts';
import type { TokenExample } from './pack.ts';

/** The labels of a file of labelled examples, in the order of UTF-16 code units. @throws DATA_INVALID when they are no set of labels */
export function collectLabels({ name, examples }: Pick<TrainingFile & { form: 'labelled' }, 'name' | 'examples'>) {
  const labels = [...new Set(examples.map(({ label }) => label))].sort(compareText);
  const problem = labelsProblem(labels);
  return problem === undefined ? labels : fail('DATA_INVALID', `${name}: the labels ${problem}`, { param: 'label' });
}

/**
 * The tokens of what is to be classified, without the opening of an answer: the head reads the last one's hidden state.
 * @throws REQUEST_INVALID when the template refuses the messages
 */
export function renderToClassify(
  renderer: ChatRenderer,
  input: { readonly text: string } | { readonly messages: readonly ChatMessage[] },
): Int32Array {
  return 'text' in input
    ? renderer.renderText(input.text)
    : renderer.renderPrompt(input.messages, { addGenerationPrompt: false });
}

/** Examples with the number of their label among `labels`. @throws DATA_INVALID with a problem for each line whose label is none of them */
export function renderLabelled(
  { name, examples }: Pick<TrainingFile & { form: 'labelled' }, 'name' | 'examples'>,
  renderer: ChatRenderer,
  labels: readonly string[],
): TokenExample[] {
  const numbers = new Map(labels.map((label, number) => [label, number]));
  const problems: Problem[] = [];
  const rendered = examples.map((example): TokenExample => {
    const { line, label } = example;
    const number = numbers.get(label);
    if (number === undefined) {
      const message = `line ${line}: label ${JSON.stringify(label)} is none of ${described(labels)}`;
      problems.push({ where: `${name}:${line}`, message });
    }
    const tokenIds = renderLine(renderer, example);
    return { tokenIds, lossWeights: new Float32Array(tokenIds.length), label: number ?? 0 };
  });
  const [first] = problems;
  if (first) fail('DATA_INVALID', `${first.where}: ${first.message}`, { param: 'label', problems });
  return rendered;
}

function renderLine(renderer: ChatRenderer, example: LabelledExample): Int32Array {
  try {
    return renderToClassify(renderer, example);
  } catch (error) {
    if (!(error instanceof EspalierError) || error.kind !== 'invalid') throw error;
    return fail('DATA_INVALID', `line ${example.line}: ${error.message}`, { param: 'messages', cause: error });
  }
}

const MAX_SHOWN = 10;

function described(labels: readonly string[]): string {
  const shown = labels.slice(0, MAX_SHOWN).map((label) => JSON.stringify(label));
  return shown.join(', ') + (labels.length > MAX_SHOWN ? ` and ${labels.length - MAX_SHOWN} more` : '');
}
