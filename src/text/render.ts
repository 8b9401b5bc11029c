import { createHash } from 'node:crypto';
import { EspalierError, fail, type Digest } from '../base/index.ts';
import type { ChatExample, ChatMessage, CompletionExample } from '../formats/index.ts';
import type { CompiledTemplate, TemplateInput } from './chat-template.ts';
import { maskSpecial, type MaskedInput } from './mask.ts';
import { toolSyntaxOf, type ToolSyntax } from './tool-syntax.ts';
import { shownMessage, shownTool } from './tool-text.ts';
import type { Tokenizer } from './tokenizer.ts';

/** An example of a training file; `line` is its place in the file, for messages. */
export type ChatTurns = Pick<ChatExample, 'messages' | 'tools'> & { readonly line?: number };
export type PromptAndCompletion = Pick<CompletionExample, 'prompt' | 'completion'> & { readonly line?: number };

/** `lossWeights[i]` weighs the loss of predicting `tokenIds[i]`; 0 where nothing is learned. Both have one entry for each token. */
export interface RenderedExample {
  readonly tokenIds: Int32Array;
  readonly lossWeights: Float32Array;
}

/** Neighbouring tokens of one loss weight, for a preview. */
export interface WeightSpan {
  readonly start: number;
  readonly end: number;
  readonly weight: number;
}

export interface PromptOptions {
  readonly tools?: readonly unknown[];
  /** Default true: ends with the beginning of an assistant turn. */
  readonly addGenerationPrompt?: boolean;
}

/** A turn of the assistant in the rendered text: it begins at `start`, where a prompt for it would end. */
interface Turn {
  readonly message: number;
  readonly start: number;
  readonly weight: number;
}

/**
 * Renders conversations into tokens, for training and for serving alike.
 *
 * The ids are those of Hugging Face's `apply_chat_template`, with two exceptions that are meant:
 * 1. The name of a control token inside a content (or any other text of a user) stays plain text.
 * 2. An assistant turn always begins a new token. The tokens before it are exactly those of {@link renderPrompt} for the messages
 *    before it, which is what the model will see when it has to answer; so a first newline of an answer is not merged with
 *    the newline that ends the template's `assistant` header.
 *
 * Learned (`lossWeights` > 0) is an assistant turn from there up to and including the token that ends it (`<|im_end|>`); what the
 * template writes after that (a newline) is not, since generation stops before it.
 */
export class ChatRenderer {
  readonly tokenizer: Tokenizer;
  readonly template: CompiledTemplate;
  /** Content address of tokenizer and template together. */
  readonly digest: Digest;

  constructor(tokenizer: Tokenizer, template: CompiledTemplate) {
    this.tokenizer = tokenizer;
    this.template = template;
    const hash = createHash('sha256').update(tokenizer.digest).update(template.digest);
    this.digest = `sha256:${hash.digest('hex')}`;
  }

  /** How the model writes tool calls; undefined: its template takes tools in a syntax that is not known here. */
  get toolSyntax(): ToolSyntax | undefined {
    return toolSyntaxOf(this.template.source);
  }

  /** The tokens of a conversation that the assistant is to continue. @throws REQUEST_INVALID when the template refuses it */
  renderPrompt(
    messages: readonly ChatMessage[],
    { tools, addGenerationPrompt = true }: PromptOptions = {},
  ): Int32Array {
    const masked = maskSpecial(templateInput(messages, tools, addGenerationPrompt), this.tokenizer.special);
    const text = this.template.render(masked.input);
    // A turn that the template shows differently once it is past (hidden reasoning) has no prompt to agree with.
    const turns = this.#findTurns(masked.input, text).filter((turn) => turn !== undefined);
    return Int32Array.from(this.#encode(text, masked, turns).tokenIds);
  }

  /** The tokens of a text that is not a conversation, with the beginning token if the model expects one. */
  renderText(text: string): Int32Array {
    const { bosId, addsBos } = this.tokenizer;
    const ids = addsBos && bosId !== null ? [bosId] : [];
    this.tokenizer.appendEncoded(text, { allowSpecial: false }, ids);
    return Int32Array.from(ids);
  }

  /**
   * A training example: the whole conversation, and which of its tokens are learned.
   * @throws DATA_INVALID when the template refuses the messages, or shows an assistant turn otherwise than as the continuation of its prompt
   */
  renderExample({ messages, tools, line }: ChatTurns): RenderedExample {
    try {
      const masked = maskSpecial(templateInput(messages, tools, false), this.tokenizer.special);
      const text = this.template.render(masked.input);
      const turns = this.#findTurns(masked.input, text, messages).map(
        (turn, index) =>
          turn ??
          fail(
            'DATA_INVALID',
            `assistant turn ${index + 1} of this example does not continue the prompt that the chat template makes of the messages before it: ` +
              'split the conversation so that this turn is the last',
          ),
      );
      const { tokenIds, lossWeights } = this.#encode(text, masked, turns);
      return { tokenIds: Int32Array.from(tokenIds), lossWeights: Float32Array.from(lossWeights) };
    } catch (error) {
      if (!(error instanceof EspalierError) || error.kind !== 'invalid') throw error;
      fail('DATA_INVALID', line === undefined ? error.message : `line ${line}: ${error.message}`, {
        param: 'messages',
        cause: error,
      });
    }
  }

  /** A `{prompt, completion}` example: the template shows it as one user message and the assistant's answer, and ends the answer. */
  renderCompletion({ prompt, completion, line }: PromptAndCompletion): RenderedExample {
    const messages: ChatMessage[] = [
      { role: 'user', content: prompt },
      { role: 'assistant', content: completion },
    ];
    return this.renderExample(line === undefined ? { messages } : { messages, line });
  }

  /** Where each assistant turn begins in the rendered text; undefined for a turn that is not the continuation of its own prompt. */
  #findTurns(input: TemplateInput, text: string, weighted: readonly ChatMessage[] = []): (Turn | undefined)[] {
    const turns: (Turn | undefined)[] = [];
    for (const [message, { role }] of input.messages.entries()) {
      if (role !== 'assistant') continue;
      const prompt = this.template.render({
        ...input,
        messages: input.messages.slice(0, message),
        addGenerationPrompt: true,
      });
      const weight = weighted[message]?.weight ?? 1;
      turns.push(text.startsWith(prompt) ? { message, start: prompt.length, weight } : undefined);
    }
    return turns;
  }

  /** Encodes the parts between turn starts one by one; in each, only the template's control tokens are special. */
  #encode(text: string, masked: MaskedInput, turns: readonly Turn[]): { tokenIds: number[]; lossWeights: number[] } {
    const tokenIds: number[] = [];
    const lossWeights: number[] = [];
    const parts = [{ start: 0, weight: 0 }, ...turns];
    for (const [index, { start, weight }] of parts.entries()) {
      const first = tokenIds.length;
      for (const piece of this.tokenizer.special.split(text.slice(start, parts[index + 1]?.start))) {
        if ('id' in piece) tokenIds.push(piece.id);
        else this.tokenizer.appendEncoded(masked.unmask(piece.text), { allowSpecial: false }, tokenIds);
      }
      const end = weight === 0 ? first : this.#turnEnd(tokenIds, first);
      for (let i = first; i < tokenIds.length; i++) lossWeights.push(i < end ? weight : 0);
    }
    return { tokenIds, lossWeights };
  }

  /** The index after the token that ends the turn beginning at `first`: the first end token, else the first control token, else all. */
  #turnEnd(tokenIds: readonly number[], first: number): number {
    const { tokenizer } = this;
    let end = tokenIds.findIndex((id, index) => index >= first && tokenizer.eosIds.includes(id));
    if (end < 0) end = tokenIds.findIndex((id, index) => index >= first && tokenizer.isSpecial(id));
    return end < 0 ? tokenIds.length : end + 1;
  }
}

/** The runs of equal loss weight in an example, in order. */
export function weightSpans({ lossWeights }: RenderedExample): WeightSpan[] {
  const spans: WeightSpan[] = [];
  let start = 0;
  for (let i = 1; i <= lossWeights.length; i++) {
    if (i < lossWeights.length && lossWeights[i] === lossWeights[start]) continue;
    spans.push({ start, end: i, weight: lossWeights[start] });
    start = i;
  }
  return spans;
}

function templateInput(
  messages: readonly ChatMessage[],
  tools: readonly unknown[] | undefined,
  addGenerationPrompt: boolean,
): TemplateInput {
  const input = { messages: messages.map(shownMessage), addGenerationPrompt };
  return tools === undefined ? input : { ...input, tools: tools.map(shownTool) };
}
