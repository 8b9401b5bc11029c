/** PEFT's `SEQ_CLS`: an adapter with a classification head, Hugging Face's `score`, and the names of its labels. */
import type { Problem } from '../../base/index.ts';
import { isRecord, parseJson, show } from '../json.ts';
import { MAX_LABEL_LENGTH, MAX_LABELS } from '../limits.ts';
import { shapeText, tensorName, type AdapterBase, type Shapes, type TensorLayout } from './layouts/tensor-layout.ts';

/** The task type of PEFT for a sequence classification. */
export const CLASSIFICATION = 'SEQ_CLS';

/** The head [labels, D] without a bias of Hugging Face's `…ForSequenceClassification`. */
const SCORE_PATH = 'score';

/** The head's name in the file of an adapter with this config: PEFT wraps the layers of a model once more where a method changes some. */
export function scoreName({ peft_type: type }: { readonly peft_type: string }): string {
  const hasVirtualTokens = type === 'PROMPT_TUNING' || type === 'P_TUNING';
  return hasVirtualTokens ? `base_model.${SCORE_PATH}.weight` : tensorName(SCORE_PATH, 'weight');
}

/** What PEFT adds to `modules_to_save` for this task type, whatever the model calls its head. */
export const CLASSIFIER_MODULES: readonly string[] = ['classifier', SCORE_PATH];

/**
 * In the metadata of the safetensors file, JSON as in a model's config.json: PEFT keeps no labels, and Hugging Face keeps them in the config
 * of the base, which is not in an adapter's folder. Readers that do not know it skip it.
 */
const ID2LABEL = 'id2label';
/** Beside them: what the examples were. Labels of texts say little of conversations that went through a template, and the other way round. */
const READS = 'reads';

/** What a classifier was trained on: texts as they are, or messages by the chat template. */
export type ClassifierInput = 'text' | 'messages';

/** What the folder of a classifier says of its labels. */
export interface Classes {
  /** The label of each row of the head. */
  readonly labels: readonly string[];
  /** Undefined where it is not known, as of PEFT's own files. */
  readonly reads?: ClassifierInput | undefined;
}

/** Whether an adapter with this config gives labels instead of tokens. */
export function isClassifier(config: object): boolean {
  return 'task_type' in config && config.task_type === CLASSIFICATION;
}

/** What is wrong with names of labels, if anything. */
export function labelsProblem(labels: readonly string[]): string | undefined {
  if (labels.length < 2) return `are ${labels.length}, expected at least two`;
  if (labels.length > MAX_LABELS) return `are ${labels.length}, expected at most ${MAX_LABELS}`;
  if (new Set(labels).size < labels.length) {
    return `have ${show(labels.find((label, index) => labels.indexOf(label) < index))} twice`;
  }
  const wrong = labels.find((label) => label.trim() === '' || label.length > MAX_LABEL_LENGTH || !label.isWellFormed());
  return wrong === undefined
    ? undefined
    : `have ${show(wrong)}, expected texts of 1 to ${MAX_LABEL_LENGTH} characters that are not blank`;
}

/** The metadata of a safetensors file that hold this. */
export function classesMetadata({ labels, reads }: Classes): Readonly<Record<string, string>> {
  const id2label = JSON.stringify(Object.fromEntries(labels.entries()));
  return { format: 'pt', [ID2LABEL]: id2label, ...(reads && { [READS]: reads }) };
}

/** The labels of a file with these metadata and the head `score`; Hugging Face's `LABEL_0`, `LABEL_1`… where it names none, as PEFT's own files do not. */
export function classesOf(
  metadata: Readonly<Record<string, string>>,
  score: string,
  tensors: Shapes,
): Classes | { readonly problem: Problem } {
  const count = tensors.get(score)?.shape[0] ?? 0;
  const refuse = (what: string, key = ID2LABEL) => ({
    problem: { where: `__metadata__.${key}`, message: `__metadata__.${key}: ${what}` },
  });
  const { [ID2LABEL]: text, [READS]: reads } = metadata;
  if (reads !== undefined && reads !== 'text' && reads !== 'messages') {
    return refuse(`is ${show(reads)}, expected text or messages`, READS);
  }
  if (text === undefined) return { labels: Array.from({ length: count }, (_, index) => `LABEL_${index}`), reads };
  const parsed = parseJson(Buffer.from(text));
  if ('problem' in parsed) return refuse(parsed.problem);
  const { value } = parsed;
  if (!isRecord(value)) return refuse(`is ${show(value)}, expected an object of labels by their number`);
  const labels = Object.keys(value).map((_, index) => value[String(index)]);
  if (!labels.every((label) => typeof label === 'string')) {
    return refuse(`is ${show(value)}, expected a text for each number from 0 on`);
  }
  const problem = labelsProblem(labels);
  if (problem !== undefined) return refuse(`the labels ${problem}`);
  if (labels.length === count) return { labels, reads };
  return refuse(`has ${labels.length} labels, but ${score} has ${count} rows`);
}

/** A method's layout with the head `score` beside its own tensors. Its number of rows is the head's own. */
export function withScore(layout: TensorLayout, score: string): TensorLayout {
  return {
    ...layout,
    moduleOf: (name) => (name === score ? SCORE_PATH : layout.moduleOf(name)),
    expected: (targets, base) => [
      ...layout.expected(targets, base),
      {
        name: score,
        shape: ['labels', base.config.hiddenSize],
        whose: `hidden size, which the head of a ${CLASSIFICATION} has a row of for each label`,
      },
    ],
    problems: (tensors) => [...(layout.problems?.(tensors) ?? []), ...scoreProblems(score, tensors)],
    misfits: (base: AdapterBase) => layout.misfits?.(base) ?? [],
  };
}

function scoreProblems(score: string, tensors: Shapes): Problem[] {
  const shape = tensors.get(score)?.shape;
  const refuse = (what: string): Problem[] => [{ where: score, message: `tensor ${score} ${what}` }];
  if (!shape) return refuse(`is missing: adapter_config.json has the task_type ${CLASSIFICATION}`);
  if (shape.length !== 2) return refuse(`is ${shapeText(shape)}, expected [labels, hidden size]`);
  if (shape[0] < 2) return refuse(`is ${shapeText(shape)}: expected at least two labels`);
  return shape[0] > MAX_LABELS ? refuse(`is ${shapeText(shape)}: expected at most ${MAX_LABELS} labels`) : [];
}
