import { fail } from '../../base/index.ts';
import type { AnswerDelta, ChatRequest } from '../../http/index.ts';
import type { ChatRenderer, ToolSyntax } from '../../text/index.ts';
import { answerGrammar } from './answer-grammar.ts';
import { checkPrompts, checkSize, SEQUENCES_AT_ONCE, type Asking, type ChatEngine } from './asking.ts';
import { checkOptions, choiceDeltas, choiceSeeds } from './choice.ts';
import { interleave } from './interleave.ts';

/** Answers for every choice of a chat, as text and calls. Choices run at once and their deltas interleave. @throws REQUEST_INVALID */
export async function* chatDeltas(
  service: ChatEngine,
  asking: Asking,
  request: ChatRequest,
): AsyncGenerator<AnswerDelta, void, undefined> {
  checkOptions(request, service.vocabSize);
  const { renderer } = service;
  const { messages, format, toolUse } = request;
  const tools = toolUse && { use: toolUse, syntax: syntaxOf(renderer) };
  const definitions = toolUse && { tools: toolUse.tools.map(({ definition }) => definition) };
  checkSize(service, textsOf(request), 'messages');
  const promptTokenIds = renderer.renderPrompt(messages, definitions ?? {});
  checkPrompts(service, asking, [{ promptTokenIds, param: 'messages' }], request.maxTokens);
  asking.meter.promptTokens = promptTokenIds.length;
  const { length } = promptTokenIds;
  const room = asking.roomFor(service, length);
  const maxTokens = asking.reserve(length, request.numChoices, request.maxTokens, room);
  const prediction =
    request.prediction === null ? undefined : renderer.tokenizer.encode(request.prediction, { allowSpecial: false });
  const options = {
    promptTokenIds,
    maxTokens,
    options: request,
    grammar: answerGrammar({ format, tools }),
    prediction,
    calls: tools && {
      syntax: tools.syntax,
      names: tools.use.tools.map(({ name }) => name),
      onlyCalls: tools.use.choice !== 'auto',
    },
    echo: null,
    param: 'messages',
  };
  const choices = choiceSeeds(request.seed, request.numChoices).map((seed, index) =>
    choiceDeltas(service, asking, { ...options, index, number: index, seed }),
  );
  yield* interleave(choices, SEQUENCES_AT_ONCE);
}

function* textsOf({ messages, prediction }: ChatRequest): Iterable<string> {
  for (const { content } of messages) yield content;
  if (prediction !== null) yield prediction;
}

/** @throws REQUEST_INVALID when the model's template takes tools in a syntax that is not known */
function syntaxOf({ toolSyntax }: ChatRenderer): ToolSyntax {
  if (toolSyntax) return toolSyntax;
  const message = 'tools: the syntax in which this model calls tools is not supported here: leave them out';
  return fail('REQUEST_INVALID', message, { param: 'tools' });
}
