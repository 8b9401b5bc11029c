import { fail, type Problem } from '../base/index.ts';
import { readTrainingFile, type TrainingFile } from '../formats/index.ts';
import type { ChatRenderer, RenderedExample } from '../text/index.ts';
import type { TokenExample } from './pack.ts';

/** A training file, checked and tokenised. */
export interface LoadedExamples {
  readonly examples: readonly TokenExample[];
  /** Line of each example. */
  readonly lines: readonly number[];
  readonly numTokens: number;
  /** Tokens that are learned from. */
  readonly numTargets: number;
  readonly digest: string;
  readonly warnings: readonly Problem[];
}

/**
 * Reads, checks and renders a JSONL file. All problems are reported together, before any compute.
 * @param contextLength the longest example that the base can take, in tokens
 * @throws DATA_INVALID with a problem for each line that is wrong
 */
export function loadExamples(path: string, renderer: ChatRenderer, contextLength: number): LoadedExamples {
  return examplesOf(readTrainingFile(path), renderer, contextLength);
}

/** The same for a file that has been read. */
export function examplesOf(file: TrainingFile, renderer: ChatRenderer, contextLength: number): LoadedExamples {
  if (file.form === 'preference') {
    fail(
      'DATA_INVALID',
      `${file.name}: holds preference pairs, which this method does not train on: use chat or completion lines`,
    );
  }
  const rendered = renderAll(file, renderer);
  const problems: Problem[] = [];
  for (const [index, { tokenIds, lossWeights }] of rendered.entries()) {
    const line = (file.examples[index] as { line: number }).line;
    const where = `${file.name}:${line}`;
    if (tokenIds.length > contextLength) {
      const message = `line ${line}: has ${tokenIds.length} tokens, the base takes at most ${contextLength}: shorten or split it`;
      problems.push({ where, message });
    }
    // The first token is never predicted.
    if (!lossWeights.some((weight, position) => position > 0 && weight !== 0)) {
      problems.push({ where, message: `line ${line}: every assistant message has weight 0: nothing to learn from` });
    }
  }
  if (problems.length > 0) {
    const first = problems[0];
    fail('DATA_INVALID', `${first.where}: ${first.message}`, { problems });
  }
  return {
    examples: rendered,
    lines: file.examples.map((example) => example.line),
    numTokens: rendered.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
    numTargets: rendered.reduce((sum, { lossWeights }) => sum + lossWeights.filter((weight) => weight !== 0).length, 0),
    digest: file.digest,
    warnings: file.warnings,
  };
}

function renderAll(file: TrainingFile, renderer: ChatRenderer): RenderedExample[] {
  if (file.form === 'completion') return file.examples.map((example) => renderer.renderCompletion(example));
  if (file.form === 'chat') return file.examples.map((example) => renderer.renderExample(example));
  return [];
}
