import { checkText, type ChatMessage, type Report } from './chat-message.ts';
import { show } from '../json.ts';
import type { JsonRecord } from './jsonl.ts';
import { parseAnswer, parsePrompt } from './preference-jsonl.ts';

/** A prompt, one answer, and whether it is a good one: TRL's unpaired preference. Texts are plain, messages go through the template. */
export type RatedExample = { readonly line: number; readonly isDesirable: boolean } & (
  | { readonly prompt: string; readonly completion: string }
  | { readonly prompt: readonly ChatMessage[]; readonly completion: ChatMessage }
);

export const RATED_KEYS: readonly string[] = ['prompt', 'completion', 'label'];

/** A label makes a completion a rated one, whatever its values are. */
export function isRatedRecord(value: JsonRecord['value']): boolean {
  return Object.hasOwn(value, 'label');
}

/** One record `{prompt, completion, label}`. What is wrong is reported, and nothing is returned. */
export function parseRated({ value, line }: JsonRecord, report: Report): RatedExample | undefined {
  const { prompt, completion, label } = value;
  if (typeof label !== 'boolean') report(`label must be true (a good answer) or false, got ${show(label)}`);
  const isDesirable = label === true;
  const isSound = typeof label === 'boolean';
  if (typeof prompt === 'string') {
    const question = checkText(prompt, 'prompt', report);
    if (typeof completion !== 'string')
      return report(`completion must be a text, as prompt is, got ${show(completion)}`);
    if (completion === '') return report('completion is empty: there is nothing to rate');
    const answer = checkText(completion, 'completion', report);
    if (!isSound || question === undefined || answer === undefined) return undefined;
    return { line, isDesirable, prompt: question, completion: answer };
  }
  const messages = parsePrompt(prompt, 'prompt', report);
  const answer = parseAnswer(completion, 'completion', report);
  return isSound && messages && answer ? { line, isDesirable, prompt: messages, completion: answer } : undefined;
}
