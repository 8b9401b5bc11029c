/**
 * text: strings <-> token ids.
 * Owns: the rule that text of users never becomes a control token; which tokens of an example are learned.
 * May import: base formats.   Called by: training serving app.
 * Runs on: any thread.
 * Throws: TOKENIZER_INVALID MODEL_INVALID MODEL_UNSUPPORTED REQUEST_INVALID DATA_INVALID FILE_NOT_FOUND FILE_INVALID.
 */
export { Tokenizer, type DecodeOptions, type EncodeOptions, type TokenRoles } from './tokenizer.ts';
export { loadTokenizerJson, type TokenizerSideFiles } from './load-tokenizer.ts';
export { tokenizerFromGguf } from './gguf-tokenizer.ts';
export { openChatRenderer, openTokenizer } from './open.ts';
export { longestWord, vocabularyBytes, type VocabularyBytes } from './vocabulary-bytes.ts';
export type { ChatMessage, ToolCall } from '../formats/index.ts';
export { CompiledTemplate, type TemplateInput, type TemplateTokens } from './chat-template.ts';
export {
  ChatRenderer,
  weightSpans,
  type ChatTurns,
  type PromptAndCompletion,
  type PromptOptions,
  type RenderedExample,
  type WeightSpan,
} from './render.ts';
export { callBegin, callEnd, HERMES, LLAMA3_JSON, type ToolSyntax } from './tool-syntax.ts';
export { ToolCallParser, type AnswerPart, type CallPart } from './tool-call-parser.ts';
export { StreamDetokenizer } from './detokenize.ts';
export { StopMatcher, type StopResult } from './stop-matcher.ts';
export { writeTokenizerFiles } from './write-tokenizer.ts';
