import { writeFileSync } from 'node:fs';
import { Rng } from '../../src/base/index.ts';

const WORDS =
  'pear quince plum medlar fig vine wall wire bud spur graft stock leaf root frost dew sun shade loam ash'.split(' ');

function sentence(rng: Rng, length: number): string {
  return Array.from({ length }, () => WORDS[rng.nextBelow(WORDS.length)]).join(' ');
}

/** Writes chats whose answer is the question's words in reverse: something that can be learned a little. */
export function writeChats(path: string, { count, words, seed }: { count: number; words: number; seed: number }): void {
  const rng = Rng.fromSeed(seed, 'chats');
  const lines = Array.from({ length: count }, () => {
    const question = sentence(rng, words);
    const messages = [
      { role: 'user', content: question },
      { role: 'assistant', content: question.split(' ').reverse().join(' ') },
    ];
    return `${JSON.stringify({ messages })}\n`;
  });
  writeFileSync(path, lines.join(''));
}

/** Writes preference pairs in TRL's form. */
export function writePairs(path: string, count: number): void {
  const lines = Array.from({ length: count }, (_, i) => ({
    prompt: `plum ${i} or quince`,
    chosen: `quince ${'fig '.repeat(i % 4)}`.trim(),
    rejected: `plum ${'wall '.repeat(i % 3)}`.trim(),
  }));
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
