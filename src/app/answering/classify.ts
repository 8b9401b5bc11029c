import { assert, fail } from '../../base/index.ts';
import type { ClassifiedInput, Classification, Classifications, ClassifyRequest } from '../../http/index.ts';
import type { Classes } from '../../registry/index.ts';
import { GREEDY, type ClassLogits } from '../../serving/index.ts';
import type { ChatMessage } from '../../text/index.ts';
import { renderToClassify } from '../../training/index.ts';
import { ask, checkPrompts, checkSize, SEQUENCES_AT_ONCE, type Asking, type ChatEngine } from './asking.ts';
import { interleave } from './interleave.ts';
import { tokensOf } from './text-completions.ts';

type Reads = Classes['reads'];

/**
 * The label of each input, whatever the engine computes beside it.
 * @param reads what the classifier was trained on, if that is known
 * @throws REQUEST_INVALID also for an adapter that is no classifier
 */
export async function classifyInputs(
  service: ChatEngine,
  asking: Asking,
  { inputs }: ClassifyRequest,
  reads: Reads,
): Promise<Classifications> {
  const rendered = inputs.map((input, index) => {
    const isChat = typeof input === 'object' && 'messages' in input;
    const param = isChat ? 'messages' : inputs.length === 1 ? 'input' : `input[${index}]`;
    return { param, promptTokenIds: tokensToClassify(service, input, param, reads) };
  });
  checkPrompts(service, asking, rendered, 0);
  for (const { promptTokenIds } of rendered) asking.meter.promptTokens += promptTokenIds.length;
  asking.reserve(asking.meter.promptTokens, inputs.length, 0, 0);
  const found: Classification[] = [];
  const sources = rendered.map(async function* ({ param, promptTokenIds }, index) {
    const request = { promptTokenIds, maxTokens: 0, stopTokenIds: [], sampling: GREEDY, classify: true as const };
    for await (const { classes } of ask(service, asking, request, param)) {
      assert(classes, 'a request for labels ends with their logits');
      yield { index, classification: classificationOf(classes) };
    }
  });
  for await (const { index, classification } of interleave(sources, SEQUENCES_AT_ONCE)) found[index] = classification;
  return { found, promptTokens: asking.meter.promptTokens };
}

/** As the training made them of a text or of messages: a text is a user's message to who was trained on messages. */
function tokensToClassify(service: ChatEngine, input: ClassifiedInput, param: string, reads: Reads): Int32Array {
  const render = (messages: readonly ChatMessage[]): Int32Array => {
    const contents = messages.map(({ content }) => content);
    checkSize(service, contents, param);
    return renderToClassify(service.renderer, { messages });
  };
  if (typeof input === 'object' && 'messages' in input) {
    if (reads !== 'text') return render(input.messages);
    const message =
      'this classifier was trained on texts as they are, without a chat template: send input, not messages';
    return fail('REQUEST_INVALID', message, { param });
  }
  if (typeof input !== 'string' || reads !== 'messages') return tokensOf(service, input, param);
  return render([{ role: 'user', content: input }]);
}

/** The softmax of the logits, and the label of the highest; of equals the first. */
function classificationOf({ labels, logits_C }: ClassLogits): Classification {
  const highest = logits_C.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(logits_C, (logit) => Math.exp(logit - highest));
  const sum = powers.reduce((a, b) => a + b);
  return { label: labels[logits_C.indexOf(highest)], probs: Array.from(powers, (power) => power / sum) };
}
