import { fail } from '../base/index.ts';
import { isRecord } from '../formats/index.ts';
import type { ChatMessage } from '../text/index.ts';

const ROLES = ['system', 'user', 'assistant', 'tool'] as const;

/** A conversation from JSON text: an array of `{role, content}`. @throws REQUEST_INVALID names the message */
export function parseMessages(text: string, where: string): ChatMessage[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    fail('REQUEST_INVALID', `${where}: is not JSON: expected an array of {"role", "content"}`, { cause });
  }
  if (!Array.isArray(value) || value.length === 0) {
    fail('REQUEST_INVALID', `${where}: expected a non-empty array of {"role", "content"}`);
  }
  return value.map((message: unknown, index): ChatMessage => {
    const [role, content] = isRecord(message) ? [message['role'], message['content']] : [];
    const known = ROLES.find((name) => name === role);
    if (known && typeof content === 'string') return { role: known, content };
    const shape = `{"role": ${ROLES.join('|')}, "content": text}`;
    return fail('REQUEST_INVALID', `${where}: messages[${index}] must be ${shape}`);
  });
}
