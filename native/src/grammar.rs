//! Constrained decoding over the llguidance library: which tokens may come next so that an answer still follows a grammar.
//! A [`Vocabulary`] belongs to a tokenizer, a [`Grammar`] is compiled once and never changes, a [`Progress`] is one answer's.
//! Every limit is a count of work, not a time: whether a grammar is refused depends on nothing but the grammar.
use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use std::sync::{Arc, OnceLock};

/// The library's marks a token that no text spells by beginning its bytes with this one, which UTF-8 never has.
const NOT_TEXT: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

/// Work that compiling and each mask may take. The library's own limits would allow half a gigabyte of lexer states.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 100_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// Why a grammar cannot be used: the library's first line, without the state that it adds.
fn reason(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    match line.strip_prefix("panic: ") {
        Some(_) => "it is beyond what the grammar engine can compile".to_string(),
        None => line.to_string(),
    }
}

/// Tokens as bytes. There is no tokenizer on this side, so any split of a text into tokens is allowed, not only the usual one.
struct Tokens(TokTrie);

impl TokenizerEnv for Tokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(bytes)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// The bytes of each token. What the library builds from them takes some tens of milliseconds and waits for the first grammar.
pub struct Vocabulary {
    words: Vec<Vec<u8>>,
    ends: Vec<TokenId>,
    factory: OnceLock<Result<ParserFactory, String>>,
}

impl Vocabulary {
    /// `words[id]` is what a token adds to a text: nothing for control tokens and gaps. `ends` are the tokens that end an answer.
    pub fn new(mut words: Vec<Vec<u8>>, ends: Vec<TokenId>) -> Result<Self, String> {
        let size = words.len();
        if ends.is_empty() || ends.iter().any(|&end| end as usize >= size) {
            return Err(format!("{ends:?} must be tokens of {size} that end an answer"));
        }
        for word in words.iter_mut() {
            if word.first() == Some(&NOT_TEXT) {
                word.clear();
            }
        }
        for &end in &ends {
            words[end as usize] = [&[NOT_TEXT], format!("<end{end}>").as_bytes()].concat();
        }
        Ok(Self { words, ends, factory: OnceLock::new() })
    }

    /// Elements of a mask, each of 32 tokens.
    pub fn mask_words(&self) -> usize {
        self.words.len().div_ceil(32)
    }

    fn factory(&self) -> Result<&ParserFactory, String> {
        self.factory.get_or_init(|| self.build()).as_ref().map_err(String::clone)
    }

    fn build(&self) -> Result<ParserFactory, String> {
        let info = TokRxInfo::new(self.words.len() as u32, self.ends[0]);
        let trie = TokTrie::from(&info, &self.words).with_eos_tokens(&self.ends);
        let environment: TokEnv = Arc::new(Tokens(trie));
        let mut factory = ParserFactory::new_simple(&environment).map_err(reason)?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(factory)
    }

    /// Compiles the library's JSON form of one or more grammars.
    pub fn compile(&self, definition: &str) -> Result<Grammar, String> {
        let factory = self.factory()?;
        let grammar = TopLevelGrammar::from_lark_or_grammar_list(definition).map_err(reason)?;
        let matcher = Matcher::new(factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(reason(error)),
            None => Ok(Grammar { matcher, mask_words: self.mask_words() }),
        }
    }
}

/// A compiled grammar, before the first token.
pub struct Grammar {
    matcher: Matcher,
    mask_words: usize,
}

impl Grammar {
    /// A new answer. It shares no cache with others: how much work a mask may take cannot depend on them.
    pub fn start(&self) -> Progress {
        Progress { matcher: self.matcher.deep_clone(), mask_words: self.mask_words }
    }
}

/// How far one answer has come.
pub struct Progress {
    matcher: Matcher,
    mask_words: usize,
}

impl Progress {
    pub fn mask_words(&self) -> usize {
        self.mask_words
    }

    /// Writes the tokens that may come next, one bit each, the first token lowest. Tokens that end the answer are among them
    /// where the grammar is satisfied. `Ok(false)`: no token of this vocabulary can come.
    pub fn mask(&mut self, mask: &mut [u32]) -> Result<bool, String> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            let set = self.matcher.compute_mask_or_eos().map_err(reason)?;
            mask.copy_from_slice(&set.as_slice()[..mask.len()]);
            return Ok(true);
        }
        match self.matcher.compute_mask() {
            Ok(set) => {
                mask.copy_from_slice(&set.as_slice()[..mask.len()]);
                Ok(true)
            }
            Err(error) if error.to_string().starts_with("NoExtension") => Ok(false),
            Err(error) => Err(reason(error)),
        }
    }

    /// Takes the next token. True when nothing can follow it: the answer is whole.
    pub fn accept(&mut self, token: TokenId) -> Result<bool, String> {
        self.matcher.consume_token(token).map_err(reason)?;
        Ok(self.matcher.is_stopped())
    }
}
