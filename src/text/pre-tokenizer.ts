import { invalid, isObject, type JsonObject } from './tokenizer-json.ts';

/** The words of GPT-2, with a step's own contractions, letters, numbers, other characters and white space. */
const GPT2_WORDS = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/**
 * The splitting steps of a `pre_tokenizer`, written so that the library splits as Hugging Face's Rust does. Two of its steps differ
 * there, and both become a `Split`, which is exact: `Digits` means any Unicode number and not only ASCII digits, and `\s` in
 * `ByteLevel` is Unicode's White_Space (U+0085 is in it, U+FEFF is not). The byte alphabet of `ByteLevel` is left out: it is
 * applied later and once per distinct word.
 * @throws TOKENIZER_INVALID for a step that would split differently from Hugging Face
 */
export function splittingSteps(preTokenizer: JsonObject, where: string): JsonObject {
  return { type: 'Sequence', pretokenizers: stepsOf(preTokenizer, where) };
}

function stepsOf(step: JsonObject, where: string): JsonObject[] {
  switch (step['type']) {
    case 'Sequence': {
      const steps = step['pretokenizers'];
      if (!Array.isArray(steps) || !steps.every(isObject))
        invalid(where, 'pre_tokenizer.pretokenizers must be an array of objects');
      return steps.flatMap((inner) => stepsOf(inner, where));
    }
    case 'ByteLevel':
      if (step['add_prefix_space'] === true)
        invalid(where, 'pre_tokenizer ByteLevel.add_prefix_space is true, which is not supported');
      return step['use_regex'] === false ? [] : [isolate(GPT2_WORDS)];
    case 'Digits':
      return [isolate(step['individual_digits'] === true ? String.raw`\p{N}` : String.raw`\p{N}+`)];
    case 'Split':
      return [splitStep(step, where)];
    default:
      return invalid(
        where,
        `pre_tokenizer step ${JSON.stringify(step['type'])} is not supported: use ByteLevel, Digits, Split or Sequence`,
      );
  }
}

function splitStep(step: JsonObject, where: string): JsonObject {
  const { pattern, behavior, invert } = step;
  const isPattern =
    isObject(pattern) && (typeof pattern['Regex'] === 'string' || typeof pattern['String'] === 'string');
  if (!isPattern) invalid(where, 'pre_tokenizer Split.pattern must be {"Regex": …} or {"String": …}');
  // Isolated pieces are the same whether the pattern matches them or the gaps between them.
  if (behavior === 'Isolated') return { type: 'Split', pattern, behavior, invert: false };
  if (behavior === 'Removed') return { type: 'Split', pattern, behavior, invert: invert === true };
  return invalid(
    where,
    `pre_tokenizer Split.behavior ${JSON.stringify(behavior)} is not supported: use Isolated or Removed`,
  );
}

function isolate(regex: string): JsonObject {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}
