/** The fewest tokens that a context has to end in alike: one alone says too little. */
const MIN_MATCH = 2;
/** Longer matches are no better than this one. */
const MAX_MATCH = 6;

/**
 * Prompt lookup (Saxena, 2023): where the end of `context` stands in `text` already, what came after it there. The longest match counts, of
 * equals the last one. What follows may run over the text's end into itself, so that a text that repeats is continued.
 * Takes time in proportion to the text.
 * @param text may be the context itself
 * @returns at most `most` tokens; undefined where nothing matches
 */
export function lookUp(
  context: readonly number[],
  text: readonly number[],
  most: number,
): readonly number[] | undefined {
  const last = context.at(-1);
  let [best, end] = [0, 0];
  // A match ends before `at`: something has to follow it.
  for (let at = text.length - 1; at >= MIN_MATCH && best < MAX_MATCH; at--) {
    if (text[at - 1] !== last) continue;
    const length = matchLength(context, text, at);
    if (length > best) [best, end] = [length, at];
  }
  if (best < MIN_MATCH || most <= 0) return undefined;
  const tokenIds: number[] = [];
  for (let at = end; tokenIds.length < most; at++) {
    if (at >= text.length && text !== context) break;
    tokenIds.push(at < text.length ? text[at] : tokenIds[at - text.length]);
  }
  return tokenIds;
}

/** How many tokens before `end` of the text are those at the end of the context. */
function matchLength(context: readonly number[], text: readonly number[], end: number): number {
  const most = Math.min(MAX_MATCH, end, context.length);
  let length = 1;
  while (length < most && text[end - 1 - length] === context[context.length - 1 - length]) length++;
  return length;
}
