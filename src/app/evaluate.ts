import type { CompiledAdapter } from '../adapters/index.ts';
import { fail } from '../base/index.ts';
import { readTrainingFile } from '../formats/index.ts';
import type { BaseModel } from '../model/index.ts';
import type { WeightFormat } from '../numeric/index.ts';
import { DEFAULT_ENGINE, Engine } from '../serving/index.ts';
import type { ChatMessage, ChatRenderer } from '../text/index.ts';
import { ANSWER_METRICS, canStillMatch, loadExamples, scoreAnswers, type AnswerMetric } from '../training/index.ts';
import { requireClassMetric, requireReadable, scoreClasses, type ClassScore } from './evaluate-classes.ts';
import { answerAll } from './batch-answers.ts';
import { measureObjective } from './evaluate-loss.ts';
import type { ModelProgress } from './bases.ts';
import type { AppConfig } from './config.ts';
import { openModel } from './models.ts';

/**
 * `loss`: of the learned tokens. `preference-accuracy`: the share of pairs whose chosen answer became more likely than the rejected one, both
 * against the base (the reward of DPO). The others compare generated answers.
 */
export type Metric = 'loss' | 'preference-accuracy' | AnswerMetric;
export const METRICS: readonly Metric[] = ['loss', 'preference-accuracy', ...ANSWER_METRICS];

export interface EvaluateOptions {
  readonly base: string;
  /** A registry reference or a PEFT folder; the base alone when absent. */
  readonly adapter?: string | undefined;
  /** How the base's weights are held in memory; bf16 unless told. */
  readonly format?: WeightFormat | undefined;
  readonly data: string;
  readonly metric: Metric;
  /** Tokens of an answer, at most. */
  readonly maxTokens: number;
}

export interface EvaluateEvents {
  onModelProgress?: ModelProgress | undefined;
  onProgress?(numDone: number, total: number): void;
}

export interface EvaluateReport {
  readonly metric: Metric;
  readonly value: number;
  readonly examples: number;
  readonly adapter: string | null;
  /** Of a classifier: see {@link ClassifierScores}. */
  readonly classes?: readonly ClassScore[];
  readonly confusion?: readonly (readonly number[])[];
}

/** Scores the base or an adapter on a file of examples. */
export async function evaluateFile(
  config: AppConfig,
  options: EvaluateOptions,
  events: EvaluateEvents = {},
): Promise<EvaluateReport> {
  if (options.metric === 'preference-accuracy' && options.adapter === undefined) {
    fail('USAGE_INVALID', '--metric preference-accuracy compares an adapter with the base: give --adapter', {
      param: '--adapter',
    });
  }
  const { base, renderer, adapter } = await openModel(config, options, events.onModelProgress);
  const report = { metric: options.metric, adapter: options.adapter ?? null };
  const { head } = adapter;
  const contextLength = base.config.contextLength - (adapter.virtual?.count ?? 0);
  if (head?.kind === 'classes') {
    requireClassMetric(options.metric);
    requireReadable(options.data, head);
    const { examples } = loadExamples(options.data, renderer, contextLength, 'classification', head.labels);
    const scores = scoreClasses(options.metric, base, adapter, head, examples, events);
    return { ...report, ...scores, examples: examples.length };
  }
  if (options.metric === 'loss' || options.metric === 'preference-accuracy') {
    const name = options.metric === 'loss' ? 'sft' : 'dpo';
    const { examples } = loadExamples(options.data, renderer, contextLength, name);
    const { loss, accuracy } = measureObjective(name, base, adapter, examples, (numDone, total) =>
      events.onProgress?.(numDone, total),
    );
    return { ...report, value: name === 'sft' ? loss : accuracy, examples: examples.length };
  }
  const questions = questionsOf(options.data);
  const value = scoreQuestions(options.metric, base, renderer, adapter, questions, options.maxTokens, events);
  return { ...report, value, examples: questions.length };
}

/** A conversation up to its last assistant turn, and what that turn says. */
export interface Question {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[] | undefined;
  readonly expected: string;
}

function questionsOf(path: string): Question[] {
  const file = readTrainingFile(path);
  if (file.form === 'completion') {
    return file.examples.map(({ prompt, completion }) => ({
      messages: [{ role: 'user', content: prompt }],
      expected: completion,
    }));
  }
  if (file.form === 'labelled') {
    return fail(
      'DATA_INVALID',
      `${path}: holds labelled texts, and this is no classifier: give --adapter one, or chats`,
    );
  }
  if (file.form !== 'chat')
    return fail(
      'DATA_INVALID',
      `${path}: holds preferences: use --metric preference-accuracy, or evaluate chat or completion lines`,
    );
  return file.examples.map(({ messages, tools, line }) => {
    const last = messages.findLastIndex(({ role }) => role === 'assistant');
    const { content, tool_calls: calls } = messages[last];
    if (calls) {
      const message = `${path}:${line}: the last assistant message calls tools: its text cannot be compared, measure the loss`;
      fail('DATA_INVALID', message);
    }
    return { messages: messages.slice(0, last), tools, expected: content };
  });
}

/** The score of greedy answers to every question, many at once. Where whole answers are compared, a wrong one is left where it goes wrong. */
export function scoreQuestions(
  metric: AnswerMetric,
  base: BaseModel,
  renderer: ChatRenderer,
  adapter: CompiledAdapter,
  questions: readonly Question[],
  maxTokens: number,
  events: EvaluateEvents = {},
): number {
  const engine = new Engine(base, { ...DEFAULT_ENGINE, maxStepTokens: 1024 });
  const prompts = questions.map(({ messages, tools }) => ({
    tokenIds: renderer.renderPrompt(messages, tools ? { tools } : {}),
    adapter,
  }));
  const generated = answerAll(engine, renderer.tokenizer, prompts, {
    maxTokens,
    isDecided: (index, begun) => !canStillMatch(metric, begun, questions[index].expected),
    onAnswer: (numDone, total) => events.onProgress?.(numDone, total),
  });
  return scoreAnswers(
    metric,
    questions.map(({ expected }, index) => ({ generated: generated[index], expected })),
  );
}
