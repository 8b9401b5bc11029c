import type { AnswerToken, TokenLogprob } from '../../http/index.ts';
import type { RankedLogprob } from '../../serving/index.ts';
import {
  StopMatcher,
  StreamDetokenizer,
  type AnswerPart,
  type CallPart,
  type ToolCallParser,
  type Tokenizer,
} from '../../text/index.ts';

/** Text and calls that are certain, and the tokens that they are made of. */
export interface TextPiece {
  readonly text: string;
  readonly calls: readonly CallPart[];
  readonly tokens: readonly AnswerToken[];
  /** Of those that were pushed, the ones that the answer has: none behind the token that ends a stop string. */
  readonly numTokens: number;
  /** A stop string was met: nothing more comes. */
  readonly isStopped: boolean;
}

interface HeldToken {
  readonly token: AnswerToken;
  readonly begin: number;
  /** Infinite while the letter that the token is a part of is not whole. */
  end: number;
}

/**
 * Turns the tokens of an answer into its text, up to the first stop string, and its tool calls, in which no stop string is looked for. A
 * token whose log-probability is told comes out with its text (or its call), so that text and tokens always agree: what a stop
 * string cuts off takes its tokens with it.
 */
export class AnswerText {
  readonly #tokenizer: Tokenizer;
  readonly #detokenizer: StreamDetokenizer;
  readonly #matcher: StopMatcher;
  readonly #parser: ToolCallParser | undefined;
  readonly #offset: number;
  readonly #held: HeldToken[] = [];
  /** Of the answer so far, in UTF-16 units: all of it, and what is out. */
  #numDecoded = 0;
  #numOut = 0;

  /**
   * @param offset of the answer in the choice's text
   * @param parser finds the tool calls; undefined: all is text
   */
  constructor(tokenizer: Tokenizer, stops: readonly string[], offset: number, parser?: ToolCallParser) {
    this.#tokenizer = tokenizer;
    this.#detokenizer = new StreamDetokenizer(tokenizer, { skipSpecial: true });
    this.#matcher = new StopMatcher(stops);
    this.#offset = offset;
    this.#parser = parser;
  }

  /**
   * @param logprobs one for each token, if they are told
   * @param isLast no more tokens come: what was held back comes out
   */
  push(tokenIds: readonly number[], logprobs: readonly RankedLogprob[] | undefined, isLast: boolean): TextPiece {
    let text = '';
    const calls: CallPart[] = [];
    const tokens: AnswerToken[] = [];
    let numTokens = 0;
    let isStopped = false;
    const take = (piece: string, ends: boolean): void => {
      const certain = this.#certain(this.#partsOf(piece, ends), ends);
      text += certain.text;
      calls.push(...certain.calls);
      isStopped = certain.isStopped;
      if (ends) this.#closeLetter();
      tokens.push(...this.#release(isStopped));
    };
    // One after the other: what comes together is answered, and counted, as if it had come alone.
    while (numTokens < tokenIds.length && !isStopped) {
      const n = numTokens++;
      take(this.#decode(tokenIds[n], logprobs?.[n]), false);
    }
    if (isLast && !isStopped) take(this.#decoded(this.#detokenizer.flush()), true);
    return { text, calls, tokens, numTokens, isStopped };
  }

  #decode(id: number, logprob: RankedLogprob | undefined): string {
    const begin = this.#numDecoded;
    const decoded = this.#decoded(this.#detokenizer.push([id]));
    if (logprob) {
      if (decoded !== '') this.#closeLetter();
      const isPart = decoded === '' && !this.#tokenizer.isSpecial(id);
      const token = answerToken(this.#tokenizer, logprob, this.#offset + begin);
      this.#held.push({ token, begin, end: isPart ? Infinity : this.#numDecoded });
    }
    return decoded;
  }

  #partsOf(piece: string, isLast: boolean): AnswerPart[] {
    if (!this.#parser) return [{ kind: 'text', text: piece, end: this.#numDecoded }];
    const parts = this.#parser.push(piece);
    return isLast ? [...parts, ...this.#parser.finish()] : parts;
  }

  /** What of the parts comes out: all before a stop string, but for text that may yet be the beginning of one. */
  #certain(parts: readonly AnswerPart[], isLast: boolean): Pick<TextPiece, 'text' | 'calls' | 'isStopped'> {
    let text = '';
    const calls: CallPart[] = [];
    for (const part of parts) {
      if (part.kind === 'call') {
        // No stop string goes on behind a call.
        text += this.#matcher.flush();
        calls.push(part);
        this.#numOut = part.end;
        continue;
      }
      const { text: certain, numHeld, isStopped } = this.#matcher.push(part.text);
      text += certain;
      this.#numOut = part.end - numHeld;
      if (isStopped) return { text, calls, isStopped };
    }
    if (isLast) text += this.#matcher.flush();
    if (isLast) this.#numOut = this.#numDecoded;
    return { text, calls, isStopped: false };
  }

  #closeLetter(): void {
    for (const held of this.#held) if (held.end === Infinity) held.end = this.#numDecoded;
  }

  #decoded(text: string): string {
    this.#numDecoded += text.length;
    return text;
  }

  /** The tokens whose text is out; of a token that a stop string cuts in two, the text before the cut is. */
  #release(isStopped: boolean): AnswerToken[] {
    const isHeld = ({ begin, end }: HeldToken): boolean => (isStopped ? begin >= this.#numOut : end > this.#numOut);
    const firstHeld = this.#held.findIndex((held) => isHeld(held));
    const out = this.#held.splice(0, firstHeld < 0 ? this.#held.length : firstHeld);
    return out.map(({ token }) => token);
  }
}

/** The tokens of a prompt as they are told; the first has no log-probability. @param logprobs of all tokens but the first */
export function promptTokens(
  tokenizer: Tokenizer,
  tokenIds: Iterable<number>,
  logprobs: readonly RankedLogprob[],
  { skipSpecial }: { readonly skipSpecial: boolean },
): AnswerToken[] {
  const detokenizer = new StreamDetokenizer(tokenizer, { skipSpecial });
  let offset = 0;
  return [...tokenIds].map((id, n) => {
    const begin = offset;
    offset += detokenizer.push([id]).length;
    if (n > 0) return answerToken(tokenizer, logprobs[n - 1], begin);
    return { bytes: tokenizer.tokenBytes(id), logprob: null, top: [], offset: begin };
  });
}

function answerToken(tokenizer: Tokenizer, { id, logprob, top }: RankedLogprob, offset: number): AnswerToken {
  const told = (token: { readonly id: number; readonly logprob: number }): TokenLogprob => ({
    bytes: tokenizer.tokenBytes(token.id),
    logprob: token.logprob,
  });
  return { ...told({ id, logprob }), top: top.map(told), offset };
}
