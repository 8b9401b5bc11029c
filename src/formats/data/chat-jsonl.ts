import { basename } from 'node:path';
import { type Digest, type Problem } from '../../base/index.ts';
import { readWholeFile } from '../byte-source.ts';
import { checkText, parseMessages, parseTools, type ChatMessage, type Report } from './chat-message.ts';
import { digestOfBytes } from '../digest.ts';
import { show } from '../json.ts';
import { failOnLines, LineProblems, lineProblem, readRecords, type JsonRecord } from './jsonl.ts';
import { isLabelledRecord, LABELLED_KEYS, parseLabelled, type LabelledExample } from './labelled-jsonl.ts';
import { MAX_TRAINING_FILE_BYTES } from '../limits.ts';
import { parsePreference, PREFERENCE_KEYS, type PreferenceExample } from './preference-jsonl.ts';
import { isRatedRecord, parseRated, RATED_KEYS, type RatedExample } from './rated-jsonl.ts';

/** OpenAI's chat form: `{messages, tools?, parallel_tool_calls?}`. */
export interface ChatExample {
  readonly line: number;
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
}

/** `{prompt, completion}`: plain texts rendered as one user message and the answer. */
export interface CompletionExample {
  readonly line: number;
  readonly prompt: string;
  readonly completion: string;
}

/** A training file's examples, all of one form. */
export type TrainingExamples =
  | { readonly form: 'chat'; readonly examples: readonly ChatExample[] }
  | { readonly form: 'completion'; readonly examples: readonly CompletionExample[] }
  | { readonly form: 'preference'; readonly examples: readonly PreferenceExample[] }
  | { readonly form: 'rated'; readonly examples: readonly RatedExample[] }
  | { readonly form: 'labelled'; readonly examples: readonly LabelledExample[] };

export type TrainingFile = TrainingExamples & {
  /** The file's name without its folder: errors begin with it. */
  readonly name: string;
  /** Of the file's bytes. */
  readonly digest: Digest;
  readonly warnings: readonly Problem[];
};

type Form = TrainingFile['form'];
interface Reports {
  readonly problem: Report;
  readonly warning: Report;
}

const CHAT_KEYS = ['messages', 'tools', 'parallel_tool_calls'];
const COMPLETION_KEYS = ['prompt', 'completion'];
const FORM_KEYS: Readonly<Record<Form, readonly string[]>> = {
  chat: CHAT_KEYS,
  completion: COMPLETION_KEYS,
  preference: PREFERENCE_KEYS,
  rated: RATED_KEYS,
  labelled: LABELLED_KEYS,
};

/**
 * Reads a training file: JSON Lines of chat, completion, preference, rated or labelled examples, one form in a file.
 * @throws FILE_NOT_FOUND FILE_INVALID DATA_INVALID, the last with all problems of the file: file, line, field, what was expected
 */
export function readTrainingFile(path: string): TrainingFile {
  return parseTrainingFile(readWholeFile(path, MAX_TRAINING_FILE_BYTES), basename(path));
}

/** The same for bytes in memory. @param name names them in errors */
export function parseTrainingFile(bytes: Uint8Array, name: string): TrainingFile {
  const problems = new LineProblems(name);
  const warnings: Problem[] = [];
  const records = readRecords(bytes, name, problems);
  if (records.length === 0 && problems.problems.length === 0) {
    failOnLines(name, [{ where: name, message: 'has no examples: expected one JSON object a line' }]);
  }
  const first = records.find(({ value }) => formOf(value) !== undefined);
  const form = first && formOf(first.value);
  const examples: (ChatExample | CompletionExample | PreferenceExample | RatedExample | LabelledExample)[] = [];
  for (const record of records) {
    if (problems.isFull) break;
    const reports: Reports = {
      problem: (message) => {
        problems.add(record.line, message);
      },
      warning: (message) => {
        warnings.push(lineProblem(name, record.line, message));
      },
    };
    const example = parseRecord(record, first?.line, form, reports);
    if (example) examples.push(example);
  }
  if (form === 'labelled') refuseMixedInput(examples as readonly LabelledExample[], problems);
  problems.problems.sort(byLine);
  problems.throwIfAny();
  const common = { name, digest: digestOfBytes(bytes), warnings };
  // Each record was parsed as `form`, so this is the list that belongs to it.
  return { form, examples, ...common } as TrainingFile;
}

const byLine = (a: Problem, b: Problem): number => lineOf(a) - lineOf(b);
const lineOf = ({ where }: Problem): number => Number(/:(\d+)$/.exec(where)?.[1] ?? 0);

/** The form that a record's own keys show, however wrong its values are. */
function formOf(value: JsonRecord['value']): Form | undefined {
  const has = (key: string): boolean => Object.hasOwn(value, key);
  if (isLabelledRecord(value)) return 'labelled';
  if (has('messages')) return 'chat';
  if (['input', 'preferred_output', 'preferred_completion', 'chosen', 'rejected'].some(has)) return 'preference';
  if (isRatedRecord(value)) return 'rated';
  return has('completion') || has('prompt') ? 'completion' : undefined;
}

/** A text is read as it is and messages through the template: what looks alike would be two kinds of input to the model. */
function refuseMixedInput(examples: readonly LabelledExample[], problems: LineProblems): void {
  const [first] = examples;
  const keyOf = (example: LabelledExample): string => ('text' in example ? 'text' : 'messages');
  for (const example of examples) {
    if (keyOf(example) === keyOf(first)) continue;
    problems.add(
      example.line,
      `has ${keyOf(example)}, but line ${first.line} has ${keyOf(first)}: one of them in a file`,
    );
  }
}

function parseRecord(record: JsonRecord, firstLine: number | undefined, form: Form | undefined, reports: Reports) {
  const own = formOf(record.value);
  if (!own || !form) {
    const keys = Object.keys(record.value);
    return reports.problem(
      `has the keys ${show(keys)}: expected messages (chat), or prompt and completion (with label: rated), or input, ` +
        'preferred_output and non_preferred_output, or prompt, chosen and rejected (preference), or text or messages with label (labelled)',
    );
  }
  if (own !== form) {
    const keys = `${own} example (${FORM_KEYS[own].filter((key) => Object.hasOwn(record.value, key)).join(', ')})`;
    return reports.problem(
      `is a ${keys}, but line ${firstLine} is a ${form} example (${FORM_KEYS[form][0]}): one form in a file`,
    );
  }
  const unknown = Object.keys(record.value).filter((key) => !FORM_KEYS[own].includes(key));
  for (const key of unknown) reports.problem(`${key} is an unknown key, expected ${FORM_KEYS[own].join('|')}`);
  if (own === 'preference') return parsePreference(record, reports);
  if (own === 'rated') return parseRated(record, reports.problem);
  if (own === 'labelled') return parseLabelled(record, reports.problem);
  return own === 'chat' ? parseChat(record, reports) : parseCompletion(record, reports);
}

function parseChat({ value, line }: JsonRecord, { problem, warning }: Reports): ChatExample | undefined {
  const tools = value['tools'] === undefined ? undefined : parseTools(value['tools'], 'tools', problem);
  const parallel = value['parallel_tool_calls'];
  if (parallel !== undefined && typeof parallel !== 'boolean') {
    problem(`parallel_tool_calls must be true or false, got ${show(parallel)}`);
  }
  const messages = parseMessages(value['messages'], 'messages', problem);
  if (!messages) return undefined;
  const assistant = messages.filter(({ role }) => role === 'assistant');
  if (assistant.length === 0) return problem('messages have no assistant message: there is nothing to learn');
  if (assistant.every(({ weight }) => weight === 0)) {
    return problem('messages: every assistant message has weight 0: there is nothing to learn');
  }
  const last = messages.at(-1)?.role;
  if (last !== 'assistant') warning(`the last message has the role ${last} and is not trained on`);
  if (messages.some(({ role }, index) => role === 'system' && index > 0)) {
    warning('a system message is not the first message: the chat template decides what becomes of it');
  }
  return { line, messages, ...(tools && { tools }) };
}

function parseCompletion({ value, line }: JsonRecord, { problem }: Reports): CompletionExample | undefined {
  const text = (key: string): string | undefined => {
    const field = value[key];
    if (typeof field !== 'string') return problem(`${key} must be a text, got ${show(field)}`);
    return checkText(field, key, problem);
  };
  const [prompt, completion] = [text('prompt'), text('completion')];
  if (completion === '') return problem('completion is empty: there is nothing to learn');
  return prompt === undefined || completion === undefined ? undefined : { line, prompt, completion };
}
