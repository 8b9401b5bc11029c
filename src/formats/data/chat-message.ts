import { isRecord, show } from '../json.ts';

const CHAT_ROLES = ['system', 'user', 'assistant', 'tool'] as const;
export type ChatRole = (typeof CHAT_ROLES)[number];

/** A call that an assistant message makes. Arguments are JSON text, as OpenAI has them, or an object, as chat templates take them. */
export interface ToolCall {
  readonly id?: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string | Readonly<Record<string, unknown>> };
}

/** A message of OpenAI's chat format. Text parts are joined; the content of a message that only calls tools is ''. */
export interface ChatMessage {
  readonly role: ChatRole;
  readonly content: string;
  readonly name?: string;
  /** Assistant only: 0 keeps the message out of the loss. */
  readonly weight?: 0 | 1;
  /** Assistant only. */
  readonly tool_calls?: readonly ToolCall[];
  /** Tool only: the call that this answers. */
  readonly tool_call_id?: string;
}

/** Takes a problem, `messages[2].role must be …`; a parser returns its result, which stands for "no value". */
export type Report = (message: string) => undefined;

const MESSAGE_KEYS = ['role', 'content', 'name', 'weight', 'tool_calls', 'tool_call_id'];

/** The messages of a list, or undefined when anything is wrong: then each problem was reported. @param at its name: `messages` */
export function parseMessages(value: unknown, at: string, report: Report): ChatMessage[] | undefined {
  if (value === undefined) return report(`${at} is missing`);
  if (!Array.isArray(value)) return report(`${at} must be a list of messages, got ${show(value)}`);
  if (value.length === 0) return report(`${at} is empty: expected at least one message`);
  const messages = value.map((item, index) => parseMessage(item, `${at}[${index}]`, report));
  return messages.every((message) => message !== undefined) ? messages : undefined;
}

function parseMessage(value: unknown, at: string, report: Report): ChatMessage | undefined {
  if (!isRecord(value)) return report(`${at} must be an object with role and content, got ${show(value)}`);
  const { role, name, weight, tool_calls: calls, tool_call_id: callId } = value;
  let isSound = true;
  const refuse: Report = (message) => {
    isSound = false;
    report(message);
  };
  for (const key of Object.keys(value)) {
    if (!MESSAGE_KEYS.includes(key)) refuse(`${at}.${key} is unknown, expected one of ${MESSAGE_KEYS.join('|')}`);
  }
  if (!isRole(role)) {
    refuse(`${at}.role must be one of ${CHAT_ROLES.join('|')}, got ${role === undefined ? 'none' : show(role)}`);
  }
  const content = parseContent(value['content'], { at, isCall: role === 'assistant' && calls !== undefined }, refuse);
  if (role === 'assistant' && content === '' && calls === undefined) {
    refuse(`${at}.content of the assistant is empty: there is nothing to learn`);
  }
  if (name !== undefined && !isText(name)) refuse(`${at}.name must be a text, got ${show(name)}`);
  if (weight !== undefined) {
    if (role !== 'assistant') refuse(`${at}.weight is only for assistant messages`);
    else if (weight !== 0 && weight !== 1) refuse(`${at}.weight must be 0 or 1, got ${show(weight)}`);
  }
  if (calls !== undefined && role !== 'assistant') refuse(`${at}.tool_calls are only for assistant messages`);
  const toolCalls = calls === undefined ? undefined : parseToolCalls(calls, `${at}.tool_calls`, refuse);
  if (callId !== undefined && (role !== 'tool' || !isText(callId))) {
    refuse(`${at}.tool_call_id must be a text in a tool message, got ${show(callId)} in a message of ${show(role)}`);
  }
  if (!isSound || !isRole(role) || content === undefined) return undefined;
  return {
    role,
    content,
    ...(isText(name) && { name }),
    ...((weight === 0 || weight === 1) && { weight }),
    ...(toolCalls && { tool_calls: toolCalls }),
    ...(isText(callId) && { tool_call_id: callId }),
  };
}

function isRole(value: unknown): value is ChatRole {
  return CHAT_ROLES.some((role) => role === value);
}

/** Text that UTF-8 can hold: a lone surrogate would become another character. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed();
}

function parseContent(
  value: unknown,
  { at, isCall }: { at: string; isCall: boolean },
  report: Report,
): string | undefined {
  if (value === undefined || value === null) {
    if (isCall) return '';
    return report(`${at}.content must be a text or a list of text parts, got ${value === null ? 'null' : 'none'}`);
  }
  if (typeof value === 'string') return checkText(value, `${at}.content`, report);
  if (!Array.isArray(value)) return report(`${at}.content must be a text or a list of text parts, got ${show(value)}`);
  const parts = value.map((part: unknown, index) => parsePart(part, `${at}.content[${index}]`, report));
  return parts.every((part) => part !== undefined) ? joinTextParts(parts) : undefined;
}

/** A content of several text parts as one text, each on a line of its own (as vLLM does): the same in training data and in requests. */
export function joinTextParts(texts: readonly string[]): string {
  return texts.join('\n');
}

function parsePart(part: unknown, at: string, report: Report): string | undefined {
  if (!isRecord(part)) return report(`${at} must be {"type":"text","text":…}, got ${show(part)}`);
  if (part['type'] !== 'text') return report(`${at} has the type ${show(part['type'])}: only text parts are supported`);
  const unknown = Object.keys(part).find((key) => key !== 'type' && key !== 'text');
  if (unknown !== undefined) return report(`${at}.${unknown} is unknown, expected type and text`);
  if (typeof part['text'] !== 'string') return report(`${at}.text must be a text, got ${show(part['text'])}`);
  return checkText(part['text'], `${at}.text`, report);
}

/** The text itself, when UTF-8 can hold it. */
export function checkText(value: string, at: string, report: Report): string | undefined {
  return value.isWellFormed()
    ? value
    : report(`${at} has half a surrogate pair, which is no character: repair the text`);
}

function parseToolCalls(value: unknown, at: string, report: Report): ToolCall[] | undefined {
  if (!Array.isArray(value) || value.length === 0)
    return report(`${at} must be a list of at least one call, got ${show(value)}`);
  const calls = value.map((item: unknown, index): ToolCall | undefined => {
    const called = isRecord(item) ? item['function'] : undefined;
    if (
      !isRecord(item) ||
      !isRecord(called) ||
      !isText(called['name']) ||
      (item['type'] ?? 'function') !== 'function'
    ) {
      return report(`${at}[${index}] must be {"type":"function","function":{"name","arguments"}}, got ${show(item)}`);
    }
    const { name, arguments: args } = called as { name: string; arguments: unknown };
    if (!isText(args) && !isRecord(args)) {
      return report(`${at}[${index}].function.arguments must be JSON text or an object, got ${show(args)}`);
    }
    return { ...(isText(item['id']) && { id: item['id'] }), type: 'function', function: { name, arguments: args } };
  });
  return calls.every((call) => call !== undefined) ? calls : undefined;
}

/** A declared tool: passed to the chat template as it is. */
export function parseTools(
  value: unknown,
  at: string,
  report: Report,
): Readonly<Record<string, unknown>>[] | undefined {
  if (!Array.isArray(value)) return report(`${at} must be a list of tools, got ${show(value)}`);
  const isTool = (item: unknown): item is Record<string, unknown> =>
    isRecord(item) && item['type'] === 'function' && isRecord(item['function']) && isText(item['function']['name']);
  const wrong = value.findIndex((item) => !isTool(item));
  if (wrong >= 0)
    return report(`${at}[${wrong}] must be {"type":"function","function":{"name",…}}, got ${show(value[wrong])}`);
  return value;
}
