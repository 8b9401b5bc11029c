import { isRecord, limits, parseJson, type ChatMessage, type ToolCall } from '../formats/index.ts';
import { callBegin, callEnd, HERMES } from './tool-syntax.ts';

/**
 * A tool as a chat template shows it: OpenAI's form, its keys in the usual order, without what is said to the server alone (`strict`) and
 * without nulls. A training file and a request that mean the same tool so become the same text. What has another form stays as it is.
 */
export function shownTool(tool: unknown): unknown {
  if (!isRecord(tool) || !isRecord(tool['function'])) return tool;
  const { name, description, parameters, strict: _strict, ...others } = tool['function'];
  const { type, function: _function, ...around } = tool;
  return {
    ...given({ type }),
    function: { ...given({ name, description, parameters }), ...given(others) },
    ...given(around),
  };
}

/**
 * Tools for a chat template that has no place for them: the system message lists them and says how to call one (in Hermes'
 * syntax), calls become content of the assistant, and results become messages of the user. Training and serving both see
 * a conversation so. See docs/decisions/0009-tool-calls.md.
 */
export function toolsAsText(messages: readonly ChatMessage[], tools: readonly unknown[]): ChatMessage[] {
  const written: ChatMessage[] = [];
  let isResult = false;
  for (const message of messages) {
    const before = written.at(-1);
    if (message.role === 'tool') {
      const content = `<tool_response>\n${message.content}\n</tool_response>`;
      // Templates often insist that user and assistant take turns.
      if (isResult && before) written[written.length - 1] = { ...before, content: `${before.content}\n${content}` };
      else written.push({ role: 'user', content });
    } else {
      written.push(callsAsText(message));
    }
    isResult = message.role === 'tool';
  }
  if (tools.length === 0) return written;
  const first = written[0];
  if (first?.role !== 'system') return [{ role: 'system', content: describe(tools) }, ...written];
  return [{ ...first, content: `${first.content}\n\n${describe(tools)}` }, ...written.slice(1)];
}

function describe(tools: readonly unknown[]): string {
  const call = `${callBegin(HERMES, 'NAME')}ARGUMENTS${callEnd(HERMES)}`;
  return [
    'You can call tools. Each line describes one:',
    ...tools.map((tool) => JSON.stringify(tool)),
    'To call a tool, write',
    call,
    "with the tool's name and a JSON object that its parameters allow. The result comes back between <tool_response> tags.",
  ].join('\n');
}

function callsAsText({ tool_calls: calls = [], ...message }: ChatMessage): ChatMessage {
  if (calls.length === 0) return message;
  const content = [message.content, ...calls.map(callText)].filter((text) => text !== '').join(HERMES.separator);
  return { ...message, content };
}

function callText({ function: { name, arguments: given } }: ToolCall): string {
  const text = typeof given === 'string' ? given : JSON.stringify(given);
  return `${callBegin(HERMES, name)}${text}${callEnd(HERMES)}`;
}

function given(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}

/**
 * A message as a chat template shows it: arguments as an object, which OpenAI writes as JSON text. They are read before control tokens
 * are looked for, so that none comes out of an escape. Text that is no JSON object, or one that a template could not walk, is shown as
 * the model once wrote it.
 */
export function shownMessage(message: ChatMessage): ChatMessage {
  const { tool_calls: calls } = message;
  return calls ? { ...message, tool_calls: calls.map(shownCall) } : message;
}

function shownCall(call: ToolCall): ToolCall {
  const { name, arguments: written } = call.function;
  if (typeof written !== 'string') return call;
  return { ...call, function: { name, arguments: objectOf(written) ?? written } };
}

function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const parsed = parseJson(Buffer.from(text), limits.MAX_BODY_DEPTH);
  return 'value' in parsed && isRecord(parsed.value) ? parsed.value : undefined;
}
