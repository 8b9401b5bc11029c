import type { ChatMessage } from '../formats/index.ts';

/** A function that the model may call. */
export interface Tool {
  readonly name: string;
  /** As the model sees it, in OpenAI's form. */
  readonly definition: unknown;
  /** JSON Schema of the arguments, an object. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Whether the arguments are held to the schema; else they are any JSON object. */
  readonly isStrict: boolean;
  /** The request's field that holds the schema, for messages. */
  readonly param: string;
}

/** The tools of a request, at least one, and how they may be called. */
export interface ToolUse {
  readonly tools: readonly Tool[];
  /** `auto`: as the model likes; `required`: at least one call and no text; a name: this one, once. */
  readonly choice: 'auto' | 'required' | { readonly name: string };
  /** Whether an answer may have more than one call. */
  readonly isParallel: boolean;
}

/** When a request gets its turn. */
export interface Scheduling {
  /** Higher goes first, among the requests of one tenant; 0 is ordinary. */
  readonly priority: number;
  /** Milliseconds within which the answer has begun; null: the server's own bound. */
  readonly timeoutMs: number | null;
}

/** How the tokens of an answer are chosen, and where it ends: of chats and of texts. */
export interface GenerationOptions {
  /** 0 to 2. */
  readonly temperature: number;
  /** 0 to 1. */
  readonly topP: number;
  /** 0 is all tokens. */
  readonly topK: number;
  /** 0 to 1. */
  readonly minP: number;
  /** Null: the server draws one. */
  readonly seed: number | null;
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** Above 0; 1 is none. */
  readonly repetitionPenalty: number;
  /** At most 4 texts, none empty; the answer ends before the first that would appear. */
  readonly stop: readonly string[];
  readonly stopTokenIds: readonly number[];
  /** The tokens that end a text do not end this answer. */
  readonly ignoreEos: boolean;
  readonly minTokens: number;
  /** Answers to the same prompt. */
  readonly numChoices: number;
  /** Alternatives to tell of each token, with its log-probability; null: nothing of the kind is asked. */
  readonly topLogprobs: number | null;
  readonly scheduling: Scheduling;
}

/** What an answer must look like; `param` is the request's field that says so. */
export type AnswerFormat =
  | { readonly kind: 'json-object'; readonly param: string }
  | { readonly kind: 'json-schema'; readonly schema: unknown; readonly param: string }
  | { readonly kind: 'regex'; readonly pattern: string; readonly param: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly param: string };

/** A chat request once it has been checked. Null: the request left it to the server. */
export interface ChatRequest extends GenerationOptions {
  /** Null: any text. */
  readonly format: AnswerFormat | null;
  /** Null: no tool may be called. */
  readonly toolUse: ToolUse | null;
  readonly messages: readonly ChatMessage[];
  /** At least 1; null: until the context is full. */
  readonly maxTokens: number | null;
  /** What the answer may be. It never changes the answer. */
  readonly prediction: string | null;
}

/** A text, or token ids as they are. */
export type TextInput = string | readonly number[];

/** A request to continue texts once it has been checked. Choice j of prompt i has the index i · numChoices + j. */
export interface TextRequest extends GenerationOptions {
  /** At least one. */
  readonly prompts: readonly TextInput[];
  /** 0 only with `echo`. */
  readonly maxTokens: number;
  /** Answers that are made for each prompt, of which `numChoices` with the highest log-probability per token are given. */
  readonly bestOf: number;
  /** The prompt comes before each answer, with its log-probabilities if they are asked. */
  readonly echo: boolean;
}

export const POOLINGS = ['mean', 'last'] as const;

export interface EmbeddingRequest {
  /** At least one. */
  readonly inputs: readonly TextInput[];
  /** Null: the model's width. */
  readonly dimensions: number | null;
  readonly pooling: (typeof POOLINGS)[number];
  readonly scheduling: Scheduling;
}

/** What is to be classified: read as it is, or by the chat template. */
export type ClassifiedInput = TextInput | { readonly messages: readonly ChatMessage[] };

export interface ClassifyRequest {
  /** At least one. */
  readonly inputs: readonly ClassifiedInput[];
  readonly scheduling: Scheduling;
}
