import type { ClassesHead, CompiledAdapter } from '../adapters/index.ts';
import { assert, fail } from '../base/index.ts';
import { DEFAULT_ENGINE, Engine, GREEDY } from '../serving/index.ts';
import type { BaseModel } from '../model/index.ts';
import { classesOfFile, type TokenExample } from '../training/index.ts';
import type { EvaluateEvents, Metric } from './evaluate.ts';

/** How a classifier does on the examples of one label. What divides by zero is 0, as in scikit-learn. */
export interface ClassScore {
  readonly label: string;
  /** Of those that were given the label, the share that have it. */
  readonly precision: number;
  /** Of those that have the label, the share that were given it. */
  readonly recall: number;
  readonly f1: number;
  /** Examples that have it. */
  readonly examples: number;
}

export interface ClassifierScores {
  readonly value: number;
  /** One for each label of the adapter, in its order. */
  readonly classes: readonly ClassScore[];
  /** `confusion[i][j]`: examples of label i that were given label j. */
  readonly confusion: readonly (readonly number[])[];
}

/** Enough that the scheduler can always fill a step. */
const MAX_QUEUED = 64;
const CLASS_METRICS: readonly Metric[] = ['accuracy', 'macro-f1', 'loss'];

/** @throws USAGE_INVALID for a metric that labels do not have */
export function requireClassMetric(metric: Metric): void {
  if (CLASS_METRICS.includes(metric)) return;
  const known = CLASS_METRICS.join(', ');
  fail('USAGE_INVALID', `--metric ${metric} has no meaning for a classifier, which has labels: use one of ${known}`, {
    param: '--metric',
  });
}

/** @throws DATA_INVALID the classifier was trained on texts as they are and the file has messages, or the other way round */
export function requireReadable(path: string, { labels, reads }: ClassesHead): void {
  const found = classesOfFile(path, labels).reads;
  if (reads === undefined || reads === found) return;
  const kind = { text: 'texts', messages: 'messages' } as const;
  const message = `${path}: has ${kind[found]}, and the classifier was trained on ${kind[reads]}: score it on such lines`;
  fail('DATA_INVALID', message, { param: '--data' });
}

/** Scores a classifier as it is served: every example is asked of the engine. `macro-f1` is the mean over the labels that occur. */
export function scoreClasses(
  metric: Metric,
  base: BaseModel,
  adapter: CompiledAdapter,
  { labels }: ClassesHead,
  examples: readonly TokenExample[],
  events: EvaluateEvents = {},
): ClassifierScores {
  const confusion = labels.map(() => labels.map(() => 0));
  let lossSum = 0;
  for (const [index, logits] of classifyAll(base, adapter, examples, events).entries()) {
    const { label } = examples[index];
    assert(label !== undefined, 'an example of a classification has a label');
    const best = logits.reduce((a, b) => Math.max(a, b));
    confusion[label][logits.indexOf(best)]++;
    lossSum += best + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - best), 0)) - logits[label];
  }
  const classes = classScores(labels, confusion);
  const occurring = classes.filter(({ examples: count }) => count > 0);
  const numRight = confusion.reduce((sum, row, label) => sum + row[label], 0);
  const values: Partial<Record<Metric, number>> = {
    loss: lossSum / examples.length,
    accuracy: numRight / examples.length,
    'macro-f1': occurring.reduce((sum, { f1 }) => sum + f1, 0) / occurring.length,
  };
  const value = values[metric];
  assert(value !== undefined, 'the metric is one of labels');
  return { value, classes, confusion };
}

/** Precision, recall and F1 of each label. */
export function classScores(labels: readonly string[], confusion: readonly (readonly number[])[]): ClassScore[] {
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
  return labels.map((label, index) => {
    const right = confusion[index][index];
    const examples = confusion[index].reduce((sum, count) => sum + count, 0);
    const given = confusion.reduce((sum, row) => sum + row[index], 0);
    const f1 = share(2 * right, examples + given);
    return { label, precision: share(right, given), recall: share(right, examples), f1, examples };
  });
}

/** The logits of every example's labels, in order. */
function classifyAll(
  base: BaseModel,
  adapter: CompiledAdapter,
  examples: readonly TokenExample[],
  events: EvaluateEvents,
): Float32Array[] {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxStepTokens: 1024 });
  const found: Float32Array[] = [];
  let [next, numDone] = [0, 0];
  while (numDone < examples.length) {
    while (next < examples.length && engine.numWaiting < MAX_QUEUED) {
      const request = { promptTokenIds: examples[next].tokenIds, adapter: null, stopTokenIds: [], sampling: GREEDY };
      engine.submit({ ...request, id: String(next), maxTokens: 0, classify: true }, adapter);
      next++;
    }
    const { events: answered, failures } = engine.step();
    for (const { error } of failures) throw error;
    for (const { id, classes } of answered) {
      assert(classes, 'a request for labels ends with their logits');
      found[Number(id)] = classes.logits_C;
      numDone++;
      events.onProgress?.(numDone, examples.length);
    }
  }
  return found;
}
