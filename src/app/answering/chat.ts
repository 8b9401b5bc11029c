import type { AnswerDelta, ChatRequest } from '../../http/index.ts';
import { answerGrammar } from './answer-grammar.ts';
import { SEQUENCES_AT_ONCE, type Asking, type ChatEngine } from './asking.ts';
import { checkOptions, choiceDeltas, choiceSeeds } from './choice.ts';
import { interleave } from './interleave.ts';

/** Answers for every choice of a chat, as text. Choices run at once and their deltas interleave. @throws REQUEST_INVALID */
export async function* chatDeltas(
  service: ChatEngine,
  asking: Asking,
  request: ChatRequest,
): AsyncGenerator<AnswerDelta, void, undefined> {
  checkOptions(request, service.vocabSize);
  const promptTokenIds = service.renderer.renderPrompt(request.messages);
  asking.meter.promptTokens = promptTokenIds.length;
  const { maxTokens } = request;
  const grammar = answerGrammar(request.format);
  const { tokenizer } = service.renderer;
  const prediction =
    request.prediction === null ? undefined : tokenizer.encode(request.prediction, { allowSpecial: false });
  const choices = choiceSeeds(request.seed, request.numChoices).map((seed, index) => {
    const choice = { index, number: index, promptTokenIds, maxTokens, seed, options: request, grammar, echo: null };
    return choiceDeltas(service, asking, { ...choice, prediction, param: 'messages' });
  });
  yield* interleave(choices, SEQUENCES_AT_ONCE);
}
