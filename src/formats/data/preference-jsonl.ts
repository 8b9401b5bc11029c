import { checkText, parseMessages, parseTools, type ChatMessage, type Report } from './chat-message.ts';
import { isRecord, show } from '../json.ts';
import type { JsonRecord } from './jsonl.ts';

/** A prompt and two answers to it, of which the first is the better one. Texts are plain, messages go through the chat template. */
export type PreferenceExample = {
  readonly line: number;
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
} & (
  | { readonly prompt: string; readonly chosen: string; readonly rejected: string }
  | { readonly prompt: readonly ChatMessage[]; readonly chosen: ChatMessage; readonly rejected: ChatMessage }
);

/** Keys of OpenAI's form (two spellings of its outputs are in use) and of TRL's. */
export const PREFERENCE_KEYS: readonly string[] = [
  'input',
  'preferred_output',
  'non_preferred_output',
  'preferred_completion',
  'non_preferred_completion',
  'prompt',
  'chosen',
  'rejected',
];
const INPUT_KEYS = ['messages', 'tools', 'parallel_tool_calls'];

interface Reports {
  readonly problem: Report;
  readonly warning: Report;
}

/**
 * One record of OpenAI's form `{input: {messages}, preferred_output, non_preferred_output}` or TRL's `{prompt, chosen, rejected}`,
 * where the prompt may also be the beginning of both conversations.
 * What is wrong is reported, and nothing is returned.
 */
export function parsePreference(record: JsonRecord, reports: Reports): PreferenceExample | undefined {
  const has = (key: string): boolean => Object.hasOwn(record.value, key);
  const isTrl = ['prompt', 'chosen', 'rejected'].some(has);
  if (isTrl && PREFERENCE_KEYS.slice(0, 5).some(has)) {
    return reports.problem('mixes input, preferred_output, non_preferred_output with prompt, chosen, rejected');
  }
  const example = isTrl ? parseTrl(record, reports.problem) : parseOpenAi(record, reports.problem);
  if (example && JSON.stringify(example.chosen) === JSON.stringify(example.rejected)) {
    reports.warning('both answers are the same: there is nothing to learn');
  }
  return example;
}

function parseOpenAi({ value, line }: JsonRecord, report: Report): PreferenceExample | undefined {
  const isSpec = Object.hasOwn(value, 'preferred_completion') || Object.hasOwn(value, 'non_preferred_completion');
  const [good, bad] = isSpec
    ? (['preferred_completion', 'non_preferred_completion'] as const)
    : (['preferred_output', 'non_preferred_output'] as const);
  const chosen = parseAnswer(value[good], good, report);
  const rejected = parseAnswer(value[bad], bad, report);
  const input = value['input'];
  if (!isRecord(input)) return report(`input must be an object with messages, got ${show(input)}`);
  const unknown = Object.keys(input).filter((key) => !INPUT_KEYS.includes(key));
  for (const key of unknown) report(`input.${key} is an unknown key, expected ${INPUT_KEYS.join('|')}`);
  const tools = input['tools'] === undefined ? undefined : parseTools(input['tools'], 'input.tools', report);
  const prompt = parsePrompt(input['messages'], 'input.messages', report);
  if (!chosen || !rejected || !prompt) return undefined;
  return { line, prompt, chosen, rejected, ...(tools && { tools }) };
}

function parseTrl({ value, line }: JsonRecord, report: Report): PreferenceExample | undefined {
  if (typeof value['prompt'] === 'string') {
    const text = (key: string): string | undefined => {
      const field = value[key];
      if (typeof field !== 'string') return report(`${key} must be a text, as prompt is, got ${show(field)}`);
      return field === '' ? report(`${key} is empty`) : checkText(field, key, report);
    };
    const prompt = checkText(value['prompt'], 'prompt', report);
    const [chosen, rejected] = [text('chosen'), text('rejected')];
    if (prompt === undefined || chosen === undefined || rejected === undefined) return undefined;
    return { line, prompt, chosen, rejected };
  }
  if (value['prompt'] === undefined) return parseImplicitPrompt({ value, line }, report);
  const prompt = parsePrompt(value['prompt'], 'prompt', report);
  const chosen = parseAnswer(value['chosen'], 'chosen', report);
  const rejected = parseAnswer(value['rejected'], 'rejected', report);
  return prompt && chosen && rejected ? { line, prompt, chosen, rejected } : undefined;
}

/** Two whole conversations that part at their last message: TRL's form without a prompt. */
function parseImplicitPrompt({ value, line }: JsonRecord, report: Report): PreferenceExample | undefined {
  if (typeof value['chosen'] === 'string') {
    return report('prompt is missing: where chosen and rejected are texts it cannot be told where the answers begin');
  }
  const good = parseMessages(value['chosen'], 'chosen', report);
  const bad = parseMessages(value['rejected'], 'rejected', report);
  if (!good || !bad) return undefined;
  const prompt = good.slice(0, -1);
  if (prompt.length === 0 || JSON.stringify(prompt) !== JSON.stringify(bad.slice(0, -1))) {
    return report(
      'chosen and rejected must be the same conversation up to their last messages, or prompt must be given',
    );
  }
  if (prompt.at(-1)?.role === 'assistant') {
    return report('chosen ends with two assistant messages: expected a user or tool message before the answer');
  }
  const chosen = requireAnswer(good[prompt.length], `chosen[${prompt.length}]`, report);
  const rejected = requireAnswer(bad[prompt.length], `rejected[${prompt.length}]`, report);
  return chosen && rejected ? { line, prompt, chosen, rejected } : undefined;
}

export function parsePrompt(value: unknown, at: string, report: Report): ChatMessage[] | undefined {
  const messages = parseMessages(value, at, report);
  if (messages?.at(-1)?.role === 'assistant') {
    return report(
      `${at} end with an assistant message: the answers would continue it, expected a user or tool message last`,
    );
  }
  return messages;
}

export function parseAnswer(value: unknown, at: string, report: Report): ChatMessage | undefined {
  const [message, ...more] = parseMessages(value, at, report) ?? [];
  if (!message) return undefined;
  if (more.length > 0) return report(`${at} has ${more.length + 1} messages, expected one assistant message`);
  return requireAnswer(message, `${at}[0]`, report);
}

function requireAnswer(message: ChatMessage, at: string, report: Report): ChatMessage | undefined {
  return message.role === 'assistant' ? message : report(`${at}.role must be assistant, got ${show(message.role)}`);
}
