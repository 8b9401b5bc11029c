import { loadDemoTasks, type DemoTask } from '../../src/demo/index.ts';
import { openChatRenderer, type RenderedExample } from '../../src/text/index.ts';

/** A step is three mails and one user agent: chats of different lengths, so that PEFT pads and we pack. */
const MAILS_PER_STEP = 3;
const AGENTS_PER_STEP = 1;

export interface Chats {
  /** To train on, one batch a step. */
  readonly batches: readonly (readonly RenderedExample[])[];
  /** Token ids of held-out chats, to compare logits on. */
  readonly sequences: readonly (readonly number[])[];
}

/** The shortest chats of the demo's two tasks, in the tokens of a base. */
export async function readChats(basePath: string, steps: number): Promise<Chats> {
  const renderer = openChatRenderer(basePath);
  const shortest = (examples: DemoTask['train'], atMost: number) =>
    examples
      .map((example) => renderer.renderExample({ messages: [...example.messages] }))
      .sort((a, b) => a.tokenIds.length - b.tokenIds.length)
      .slice(0, atMost);
  const made: RenderedExample[][] = Array.from({ length: steps }, () => []);
  const heldOut: RenderedExample[] = [];
  for (const [index, { train, test }] of (await loadDemoTasks()).entries()) {
    const perStep = index === 0 ? MAILS_PER_STEP : AGENTS_PER_STEP;
    const examples = shortest(train, steps * perStep);
    for (let i = 0; i < steps * perStep; i++) made[i % steps].push(examples[i % examples.length]);
    heldOut.push(...shortest(test, 2));
  }
  return { batches: made, sequences: heldOut.map(({ tokenIds }) => [...tokenIds]) };
}
