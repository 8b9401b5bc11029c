import { fail, type Problem } from '../base/index.ts';
import { readTrainingFile, type Classes, type ClassifierInput, type TrainingFile } from '../formats/index.ts';
import type { ChatRenderer } from '../text/index.ts';
import { collectLabels, renderLabelled } from './labelled-example.ts';
import type { ObjectiveName } from './objectives/objective.ts';
import type { TokenExample } from './pack.ts';
import { renderPairs, renderRated } from './preference-example.ts';

/** A training file, checked and tokenised. */
export interface LoadedExamples {
  readonly examples: readonly TokenExample[];
  /** Line of each example. */
  readonly lines: readonly number[];
  readonly numTokens: number;
  /** Tokens that are learned from, or labels. */
  readonly numTargets: number;
  readonly digest: string;
  readonly warnings: readonly Problem[];
  /** Of labelled examples: the names that their numbers stand for. */
  readonly labels?: readonly string[];
}

/** The forms of data that an objective learns from; the first is the one that it is made for. */
const FORMS: Readonly<Record<ObjectiveName, readonly TrainingFile['form'][]>> = {
  sft: ['chat', 'completion'],
  distillation: ['chat', 'completion'],
  dpo: ['preference'],
  ipo: ['preference'],
  simpo: ['preference'],
  orpo: ['preference'],
  kto: ['rated', 'preference'],
  classification: ['labelled'],
};
const FORM_NAMES: Readonly<Record<TrainingFile['form'], string>> = {
  chat: 'chats',
  completion: 'prompts with completions',
  preference: 'preference pairs',
  rated: 'rated completions',
  labelled: 'labelled texts',
};

/**
 * Reads, checks and renders a JSONL file. All problems are reported together, before any compute.
 * @param contextLength the longest sequence that the base can take, in tokens
 * @param objective what the examples are for; the one that the file's form is made for when undefined
 * @param labels of labelled examples: all that there are; the file's own when undefined
 * @throws DATA_INVALID with a problem for each line that is wrong, or when the file has a form that the objective does not learn from
 */
export function loadExamples(
  path: string,
  renderer: ChatRenderer,
  contextLength: number,
  objective?: ObjectiveName,
  labels?: readonly string[],
): LoadedExamples {
  const file = readTrainingFile(path);
  if (objective !== undefined) requireForm(path, file.form, objective);
  return examplesOf(file, renderer, contextLength, objective, labels);
}

/**
 * The labels of a file, in the order of their names, unless they are given, and what they are the labels of.
 * @throws DATA_INVALID when it has no labelled examples, or too few labels
 */
export function classesOfFile(path: string, labels?: readonly string[]): Classes & { readonly reads: ClassifierInput } {
  const file = readTrainingFile(path);
  if (file.form !== 'labelled') return requireForm(path, file.form, 'classification');
  // All lines of a file are of one kind.
  const reads = file.examples.some((example) => 'text' in example) ? 'text' : 'messages';
  return { labels: labels ?? collectLabels(file), reads };
}

/** {@link loadExamples} of a file that has been read, without a look at its form. */
export function examplesOf(
  file: TrainingFile,
  renderer: ChatRenderer,
  contextLength: number,
  objective?: ObjectiveName,
  labels?: readonly string[],
): LoadedExamples {
  const known = file.form === 'labelled' ? (labels ?? collectLabels(file)) : undefined;
  const { examples, lines, warnings: ofForm = [] } = render(file, renderer, objective, known);
  const problems: Problem[] = [];
  for (const [index, example] of examples.entries()) {
    const line = lines[index];
    const where = `${file.name}:${line}`;
    for (const message of new Set(problemsOf(example, contextLength))) {
      problems.push({ where, message: `${message} (line ${line})` });
    }
  }
  if (problems.length > 0) {
    const first = problems[0];
    fail('DATA_INVALID', `${first.where}: ${first.message}`, { problems });
  }
  const { digest, name } = file;
  const warnings = [...file.warnings, ...ofForm.map((message) => ({ where: name, message }))];
  return { ...countTokens(examples), examples, lines, digest, warnings, ...(known && { labels: known }) };
}

/** A part of loaded examples, in their order. */
export function selectExamples(loaded: LoadedExamples, isChosen: (index: number) => boolean): LoadedExamples {
  const examples = loaded.examples.filter((_, index) => isChosen(index));
  return { ...loaded, ...countTokens(examples), examples, lines: loaded.lines.filter((_, index) => isChosen(index)) };
}

function countTokens(examples: readonly TokenExample[]): { numTokens: number; numTargets: number } {
  return {
    numTokens: examples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    numTargets: examples.reduce((sum, example) => sum + numTargetsOf(example), 0),
  };
}

function numTargetsOf({ lossWeights, label }: TokenExample): number {
  return label === undefined ? lossWeights.filter((weight) => weight !== 0).length : 1;
}

function requireForm(path: string, form: Exclude<TrainingFile['form'], 'labelled'>, objective: 'classification'): never;
function requireForm(path: string, form: TrainingFile['form'], objective: ObjectiveName): void;
function requireForm(path: string, form: TrainingFile['form'], objective: ObjectiveName): void {
  if (FORMS[objective].includes(form)) return;
  const wanted = FORMS[objective].map((one) => FORM_NAMES[one]).join(' or ');
  const fitting = Object.entries(FORMS).flatMap(([name, forms]) => (forms.includes(form) ? [name] : []));
  fail(
    'DATA_INVALID',
    `${path}: holds ${FORM_NAMES[form]}, and --objective ${objective} learns from ${wanted}: use --objective ${fitting.join(' or ')}, or other data`,
    { param: 'objective' },
  );
}

function render(
  file: TrainingFile,
  renderer: ChatRenderer,
  objective: ObjectiveName | undefined,
  labels: readonly string[] = [],
): { examples: TokenExample[]; lines: number[]; warnings?: readonly string[] } {
  const lines = file.examples.map((example) => example.line);
  switch (file.form) {
    case 'chat':
      return { examples: file.examples.map((example) => renderer.renderExample(example)), lines };
    case 'completion':
      return { examples: file.examples.map((example) => renderer.renderCompletion(example)), lines };
    case 'labelled':
      return { examples: renderLabelled(file, renderer, labels), lines };
    case 'rated':
      return renderRated(file.examples, renderer);
    case 'preference':
      if (objective === 'kto') return renderRated(file.examples, renderer);
      return { examples: renderPairs(file.examples, renderer), lines };
    default:
      return file satisfies never;
  }
}

function* problemsOf(example: TokenExample, contextLength: number): Generator<string> {
  const { lossWeights, ends = [example.tokenIds.length], label } = example;
  let begin = 0;
  for (const end of ends) {
    const length = end - begin;
    if (length > contextLength) {
      yield `has ${length} tokens, the base takes at most ${contextLength}: shorten or split it`;
    }
    // The first token is never predicted.
    if (label === undefined && !lossWeights.subarray(begin + 1, end).some((weight) => weight !== 0)) {
      yield 'every assistant message has weight 0: nothing to learn from';
    }
    begin = end;
  }
}
