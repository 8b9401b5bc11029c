import type { CompiledAdapter } from '../adapters/index.ts';
import { fail } from '../base/index.ts';
import type { GenerateRequest } from './request.ts';

/** What is found wrong with a request before anything is taken for it. */

/** @throws REQUEST_INVALID */
export function checkRequest({ maxTokens, weight, priority, deadlineMs }: GenerateRequest): void {
  const check = (isRight: boolean, param: string, expected: string): void => {
    if (!isRight) fail('REQUEST_INVALID', `${param} must be ${expected}`, { param });
  };
  check(maxTokens === null || (Number.isSafeInteger(maxTokens) && maxTokens >= 0), 'max_tokens', 'at least 0');
  check(weight === undefined || (Number.isFinite(weight) && weight > 0), 'weight', 'a number above 0');
  check(priority === undefined || Number.isSafeInteger(priority), 'priority', 'a whole number');
  check(deadlineMs === undefined || deadlineMs >= 0, 'deadline_ms', 'milliseconds from now');
}

/** A classifier has labels and no tokens, any other adapter tokens and no labels. @throws REQUEST_INVALID */
export function checkTask({ maxTokens, logprobs, classify }: GenerateRequest, { head }: CompiledAdapter): void {
  const isClassifier = head?.kind === 'classes';
  if (classify && !isClassifier) {
    fail('REQUEST_INVALID', 'what answers this model is no classifier: it has no labels, ask it for a completion', {
      param: 'model',
    });
  }
  if (isClassifier && (maxTokens !== 0 || logprobs)) {
    fail(
      'REQUEST_INVALID',
      'the adapter of this model is a classifier, which has no next token: use POST /v1/classify',
      {
        param: 'model',
      },
    );
  }
}

/** The tokens of one sequence before anything is computed. */
export interface SequenceLength {
  readonly promptTokens: number;
  /** Of the adapter. */
  readonly numVirtual: number;
  /** Null: as many as there is room for. */
  readonly maxTokens: number | null;
}

/**
 * Refuses a prompt that is empty, or too long beside its answer.
 * @param limit tokens that the server can hold of one sequence
 * @param param the field that holds the prompt
 * @throws REQUEST_INVALID CONTEXT_TOO_LONG
 */
export function checkLength(length: SequenceLength, limit: number, param = 'messages'): void {
  const { promptTokens, numVirtual, maxTokens } = length;
  if (promptTokens === 0) fail('REQUEST_INVALID', 'the prompt has no tokens', { param });
  // A request without a limit needs room for a token at least.
  if (promptTokens + numVirtual + (maxTokens ?? 1) > limit) fail('CONTEXT_TOO_LONG', tooLong(length, limit), { param });
}

function tooLong({ promptTokens, numVirtual, maxTokens }: SequenceLength, limit: number): string {
  const virtual = numVirtual > 0 ? `, the adapter ${numVirtual} virtual ones` : '';
  const prompt = `the prompt has ${promptTokens} tokens${virtual}`;
  if (maxTokens === null) return `${prompt}: no room for an answer in the ${limit} of this server`;
  // What is read only, to embed or to classify it, has no max_tokens.
  if (maxTokens === 0) return `${prompt}: more than the ${limit} of this server`;
  return `${prompt} and max_tokens is ${maxTokens}: together more than the ${limit} of this server`;
}
