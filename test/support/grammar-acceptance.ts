/** Follows texts token by token through a grammar. */
import { engineForm, GrammarCompiler, type Grammar } from '../../src/grammar/index.ts';
import { loadNativeGrammars } from '../../src/numeric/index.ts';
import { vocabularyBytes, type Tokenizer } from '../../src/text/index.ts';
import { letterTokenizer } from './letter-tokenizer.ts';

/** How far a text comes: its end, or a token that may not follow. */
export type Way = 'whole' | 'begun' | 'refused';

export function compilerFor(tokenizer: Tokenizer, vocabSize = tokenizer.vocabSize): GrammarCompiler {
  return new GrammarCompiler(loadNativeGrammars(vocabularyBytes(tokenizer, vocabSize)));
}

/** The tokens that a mask allows. */
export function idsIn(mask: Int32Array): Set<number> {
  const ids = new Set<number>();
  for (const [word, bits] of mask.entries()) {
    for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) ids.add(word * 32 + bit);
  }
  return ids;
}

/** Tells of a text whether the grammar takes it as an answer, as the beginning of one, or not at all. */
export async function wayThrough(grammar: Grammar, tokenizer = letterTokenizer()): Promise<(text: string) => Way> {
  const compiler = compilerFor(tokenizer);
  const compiled = await compiler.compile(engineForm(grammar, 'test'), 'test');
  return (text) => {
    using progress = compiled.start();
    const mask = new Int32Array(compiler.maskWords);
    for (const id of tokenizer.encode(text, { allowSpecial: false })) {
      if (!progress.mask(mask) || !idsIn(mask).has(id)) return 'refused';
      progress.accept(id);
    }
    if (!progress.mask(mask)) return 'refused';
    return tokenizer.eosIds.every((id) => idsIn(mask).has(id)) ? 'whole' : 'begun';
  };
}
