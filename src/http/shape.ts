import type { AnswerDelta, AnswerToken, FinishReason, Usage } from './services.ts';

/** A call of a tool, complete unless the answer was cut off in it. */
export interface WholeCall {
  readonly id: string;
  readonly name: string;
  /** JSON, as the model wrote it. */
  readonly argumentsText: string;
}

/** One choice, complete. */
export interface WholeChoice {
  readonly text: string;
  /** In the order in which they were made; often none. */
  readonly toolCalls: readonly WholeCall[];
  /** All of its tokens, if log-probabilities were asked for. */
  readonly tokens: readonly AnswerToken[] | undefined;
  readonly finishReason: FinishReason;
}

/** How an endpoint writes an answer: bodies that become JSON, whole or in chunks. */
export interface AnswerShape {
  /** The chunks before the first delta. */
  opening(): readonly object[];
  /** The chunks of a delta; none for one that says nothing. */
  chunksOf(delta: AnswerDelta): readonly object[];
  /** The last chunk of a stream with `include_usage`: no choices, only figures. */
  usageChunk(used: Usage): object;
  whole(choices: readonly WholeChoice[], used: Usage): object;
}
