import { show } from '../json.ts';
import { checkText, parseMessages, type ChatMessage, type Report } from './chat-message.ts';
import type { JsonRecord } from './jsonl.ts';

/** A text or a conversation, and what it is: of a classification. A text is read as it is, messages go through the template. */
export type LabelledExample = { readonly line: number; readonly label: string } & (
  { readonly text: string } | { readonly messages: readonly ChatMessage[] }
);

export const LABELLED_KEYS: readonly string[] = ['text', 'messages', 'label'];

/** A text, or a label that belongs to no completion, makes a record a labelled one, whatever its values are. */
export function isLabelledRecord(value: JsonRecord['value']): boolean {
  const has = (key: string): boolean => Object.hasOwn(value, key);
  return has('text') || (has('label') && !has('prompt') && !has('completion'));
}

/** One record `{text, label}` or `{messages, label}`. What is wrong is reported, and nothing is returned. */
export function parseLabelled({ value, line }: JsonRecord, report: Report): LabelledExample | undefined {
  const named = parseLabel(value['label'], report);
  const [hasText, hasMessages] = [Object.hasOwn(value, 'text'), Object.hasOwn(value, 'messages')];
  if (hasText === hasMessages) {
    return report(
      `has ${hasText ? 'both text and messages' : 'neither text nor messages'}: expected text, which is read as it is, ` +
        'or messages, which go through the chat template',
    );
  }
  if (hasMessages) {
    const messages = parseMessages(value['messages'], 'messages', report);
    return messages && named ? { line, ...named, messages } : undefined;
  }
  if (typeof value['text'] !== 'string') return report(`text must be a text, got ${show(value['text'])}`);
  const text = checkText(value['text'], 'text', report);
  if (text === '') return report('text is empty: there is nothing to classify');
  return text !== undefined && named ? { line, ...named, text } : undefined;
}

function parseLabel(label: unknown, report: Report): { readonly label: string } | undefined {
  if (label === undefined)
    return report(
      'label is missing: expected the name of what the example is (a text that is to be learned itself is a completion of an empty prompt)',
    );
  if (typeof label !== 'string') return report(`label must be the name of a label, a text, got ${show(label)}`);
  if (label.trim() === '') return report(`label is ${show(label)}: expected the name of what the example is`);
  const sound = checkText(label, 'label', report);
  return sound === undefined ? undefined : { label: sound };
}
