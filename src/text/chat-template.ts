import { createHash } from 'node:crypto';
import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { errorMessage, fail, systemClock, type Clock, type Digest } from '../base/index.ts';
import type { ChatMessage } from '../formats/index.ts';
import { takesTools } from './tool-syntax.ts';
import { toolsAsText } from './tool-text.ts';

export interface TemplateInput {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[];
  /** Whether to end with the beginning of an assistant turn, for the model to go on from. */
  readonly addGenerationPrompt: boolean;
}

/** The texts of the role tokens that a template may name. */
export interface TemplateTokens {
  readonly bos_token?: string;
  readonly eos_token?: string;
  readonly pad_token?: string;
  readonly unk_token?: string;
}

/**
 * A model's chat template (Jinja, as in Hugging Face's `apply_chat_template`), compiled once.
 * Rendering is a pure function of its input but for templates that ask for today's date.
 */
export class CompiledTemplate {
  readonly source: string;
  readonly digest: Digest;
  readonly #where: string;
  readonly #program: Template['parsed'];
  readonly #tokens: TemplateTokens;
  readonly #clock: Clock;

  /**
   * @param where the file that the template is from, for messages
   * @throws MODEL_INVALID when the template cannot be parsed
   */
  constructor(source: string, tokens: TemplateTokens, where: string, clock: Clock = systemClock) {
    this.source = source;
    this.digest = `sha256:${createHash('sha256')
      .update(JSON.stringify([source, tokens]))
      .digest('hex')}`;
    this.#where = where;
    this.#tokens = tokens;
    this.#clock = clock;
    try {
      this.#program = new Template(source).parsed;
    } catch (cause) {
      fail('MODEL_INVALID', `${where}: the chat template cannot be read: ${errorMessage(cause)}`, { cause });
    }
  }

  /**
   * The prompt as text, control tokens written by their names. A template that knows no tools gets them as text (tool-text.ts).
   * @throws REQUEST_INVALID when the template refuses the messages, or has no place for tool calls that are given
   */
  render({ messages: given, tools, addGenerationPrompt }: TemplateInput): string {
    const messages = this.#needsText(given, tools) ? toolsAsText(given, tools ?? []) : given;
    this.#checkCalls(messages);
    const environment = new Environment();
    for (const [name, value] of Object.entries(this.#globals())) environment.set(name, value);
    environment.set('messages', messages.map(toTemplateMessage));
    environment.set('tools', tools && tools.length > 0 ? tools : null);
    environment.set('add_generation_prompt', addGenerationPrompt);
    try {
      const result: unknown = new Interpreter(environment).run(this.#program).value;
      return String(result);
    } catch (cause) {
      return fail(
        'REQUEST_INVALID',
        `the chat template of ${this.#where} refuses these messages: ${errorMessage(cause)}`,
        {
          param: 'messages',
          cause,
        },
      );
    }
  }

  /** Whether the template would leave out tools or calls that are given. Without these it sees every message as it is. */
  #needsText(messages: readonly ChatMessage[], tools: readonly unknown[] = []): boolean {
    if (takesTools(this.source)) return false;
    if (tools.length > 0) return true;
    return !this.source.includes('tool_calls') && messages.some(({ tool_calls: calls = [] }) => calls.length > 0);
  }

  /** A template that shows tools but has no place for calls would silently leave them out. */
  #checkCalls(messages: readonly ChatMessage[]): void {
    const index = messages.findIndex((message) => (message.tool_calls?.length ?? 0) > 0);
    if (index >= 0 && !this.source.includes('tool_calls')) {
      const param = `messages[${index}].tool_calls`;
      fail(
        'REQUEST_INVALID',
        `${param}: the chat template of ${this.#where} has no place for tool calls: write them as content`,
        { param },
      );
    }
  }

  #globals(): Record<string, unknown> {
    const constants = { true: true, false: false, none: null, True: true, False: false, None: null };
    return {
      ...constants,
      ...this.#tokens,
      range,
      raise_exception: raiseException,
      strftime_now: (format: string) => this.#now(format),
    };
  }

  /** Python's `strftime` of the local time, for the directives that templates use. */
  #now(format: string): string {
    const date = new Date(this.#clock.epochMs());
    const pad = (value: number): string => String(value).padStart(2, '0');
    const month = (style: 'long' | 'short'): string => new Intl.DateTimeFormat('en-US', { month: style }).format(date);
    const values: Record<string, string> = {
      Y: String(date.getFullYear()),
      m: pad(date.getMonth() + 1),
      d: pad(date.getDate()),
      b: month('short'),
      B: month('long'),
      H: pad(date.getHours()),
      M: pad(date.getMinutes()),
      S: pad(date.getSeconds()),
      '%': '%',
    };
    return format.replace(/%(.)/g, (directive, letter: string) => values[letter] ?? directive);
  }
}

function raiseException(message: string): never {
  throw new Error(message);
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const numbers: number[] = [];
  for (let i = start; step > 0 ? i < stop : step < 0 && i > stop; i += step) numbers.push(i);
  return numbers;
}

/** What a template sees of a message: not its weight. */
function toTemplateMessage(message: ChatMessage): Record<string, unknown> {
  const { content, tool_calls: calls, role, name, tool_call_id: callId } = message;
  return {
    role,
    content,
    ...(name === undefined ? {} : { name }),
    ...(callId === undefined ? {} : { tool_call_id: callId }),
    ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
  };
}
