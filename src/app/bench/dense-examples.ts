import { writeFileSync } from 'node:fs';
import { Rng } from '../../base/index.ts';
import type { ChatRenderer } from '../../text/index.ts';

const WORDS = 'the of and to in is was for on that with as it at from by an be this are or not have but one all'.split(
  ' ',
);
/** Words are a token each, nearly: a few corrections are enough. */
const MAX_CORRECTIONS = 64;

/**
 * Writes chats of `tokens` tokens each (or one or two fewer, where the words do not add up) whose answer is nearly all of them: what a step costs
 * then depends on nothing but its shape.
 */
export function writeDenseExamples(
  path: string,
  renderer: ChatRenderer,
  { count, tokens, seed }: { readonly count: number; readonly tokens: number; readonly seed: number },
): void {
  const rng = Rng.fromSeed(seed, 'dense examples');
  const lines = Array.from({ length: count }, () => {
    const words = Array.from({ length: tokens }, () => WORDS[rng.nextBelow(WORDS.length)]);
    const messages = (): { role: 'system' | 'user' | 'assistant'; content: string }[] => [
      { role: 'system', content: 'go on' },
      { role: 'user', content: words[0] },
      { role: 'assistant', content: words.join(' ') },
    ];
    for (let i = 0; i < MAX_CORRECTIONS; i++) {
      const missing = tokens - renderer.renderExample({ messages: messages() }).tokenIds.length;
      if (missing === 0) break;
      if (missing < 0) words.length = Math.max(1, words.length + missing);
      else words.push(...words.slice(0, missing));
    }
    while (words.length > 1 && renderer.renderExample({ messages: messages() }).tokenIds.length > tokens) words.pop();
    return `${JSON.stringify({ messages: messages() })}\n`;
  });
  writeFileSync(path, lines.join(''));
}
