//! Grammars as Node sees them: `src/numeric/native-grammars.ts` says what each function does. Unlike elsewhere on this surface an
//! error of [`grammar_compile`], [`grammar_mask`] and [`grammar_accept`] can be a user's: a grammar that is wrong or too much work.
use super::arguments::invalid;
use crate::grammar::{Grammar, Progress, Vocabulary};
use napi::bindgen_prelude::{AsyncTask, External, ExternalRef, Int32ArraySlice as Integers, Uint8ArraySlice as Bytes};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::sync::Arc;

/// The memory of one answer's grammar as the collector should count it.
const PROGRESS_BYTES: usize = 256 * 1024;

/// `ends[id]` is where the bytes of token id end; they begin where those of the token before it end.
#[napi(catch_unwind)]
pub fn grammar_vocabulary(bytes: Bytes, ends: Integers, stops: Integers) -> Result<External<Arc<Vocabulary>>> {
    let mut words = Vec::with_capacity(ends.len());
    let mut start = 0;
    for &end in ends.iter() {
        let end = end as usize;
        let word = bytes.get(start..end).ok_or_else(|| invalid(format!("a token ends at {end}")))?;
        words.push(word.to_vec());
        start = end;
    }
    let stops = stops.iter().map(|&stop| stop as u32).collect();
    let vocabulary = Vocabulary::new(words, stops).map_err(invalid)?;
    Ok(External::new_with_size_hint(Arc::new(vocabulary), bytes.len() + 64 * ends.len()))
}

pub struct Compilation {
    vocabulary: Arc<Vocabulary>,
    definition: String,
}

impl Task for Compilation {
    type Output = Grammar;
    type JsValue = ExternalRef<Grammar>;

    fn compute(&mut self) -> Result<Grammar> {
        self.vocabulary.compile(&self.definition).map_err(invalid)
    }

    fn resolve(&mut self, env: Env, grammar: Grammar) -> Result<ExternalRef<Grammar>> {
        ExternalRef::new(&env, grammar)
    }
}

/// Compiles on a thread of Node's pool: a step never waits for it.
#[napi(catch_unwind)]
pub fn grammar_compile(vocabulary: &External<Arc<Vocabulary>>, definition: String) -> AsyncTask<Compilation> {
    AsyncTask::new(Compilation { vocabulary: Arc::clone(vocabulary), definition })
}

/// One answer's progress; empty once it has been freed.
pub struct Answer(Option<Progress>);

impl Answer {
    fn progress(&mut self) -> Result<&mut Progress> {
        self.0.as_mut().ok_or_else(|| Error::from_reason("the answer's grammar has been freed"))
    }
}

#[napi(catch_unwind)]
pub fn grammar_start(grammar: &External<Grammar>) -> External<Answer> {
    External::new_with_size_hint(Answer(Some(grammar.start())), PROGRESS_BYTES)
}

#[napi(catch_unwind)]
pub fn grammar_mask(answer: &mut External<Answer>, mut mask: Integers) -> Result<bool> {
    let progress = answer.progress()?;
    if mask.len() != progress.mask_words() {
        let message = format!("mask has {} elements, expected {}", mask.len(), progress.mask_words());
        return Err(Error::from_reason(message));
    }
    // SAFETY: the mask is the only array, and JavaScript waits for this call. i32 and u32 have one layout.
    let words = unsafe {
        let target = mask.as_mut();
        std::slice::from_raw_parts_mut(target.as_mut_ptr().cast::<u32>(), target.len())
    };
    progress.mask(words).map_err(invalid)
}

#[napi(catch_unwind)]
pub fn grammar_accept(answer: &mut External<Answer>, token: u32) -> Result<bool> {
    answer.progress()?.accept(token).map_err(invalid)
}

/// Gives the memory back at once: the collector may come much later.
#[napi(catch_unwind)]
pub fn grammar_free(answer: &mut External<Answer>) {
    answer.0 = None;
}
