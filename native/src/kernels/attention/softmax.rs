//! The running softmax of [`super::online`]: largest score, sum of exponentials, and what that makes of the sums before.
use super::product::LANES;
use super::tiles::KEYS;
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::kernels::math::{exp, larger, reduce};

multiversion! {
    /// Replaces the scores of each query's visible keys by exp(score − largest), and brings its largest score and its sum up to
    /// date. What was summed before must be multiplied by the correction.
    pub fn exponentiate(
        scores: &mut [f32],
        visible: &[usize],
        largest: &mut [f32],
        sums: &mut [f32],
        corrections: &mut [f32]
    ) = exponentiate_body;

    /// weighted = weighted · correction + part, for queries that see a key.
    pub fn correct(weighted: &mut [f32], part: &[f32], corrections: &[f32], visible: &[usize]) = correct_body;
}

#[inline(always)]
fn exponentiate_body<A: Arithmetic>(
    scores: &mut [f32],
    visible: &[usize],
    largest: &mut [f32],
    sums: &mut [f32],
    corrections: &mut [f32],
) {
    for (i, keys) in visible.iter().enumerate() {
        if *keys == 0 {
            continue;
        }
        let scores = &mut scores[i * KEYS..][..keys.next_multiple_of(LANES)];
        scores[*keys..].fill(f32::NEG_INFINITY);
        let old = largest[i];
        let new = larger(old, fold(scores, f32::NEG_INFINITY, larger));
        let correction = if new == old { 1.0 } else { exp::<A>(old - new) };
        for score in scores.iter_mut() {
            *score = exp::<A>(*score - new);
        }
        largest[i] = new;
        sums[i] = A::mul_add(sums[i], correction, fold(scores, 0.0, |a, b| a + b));
        corrections[i] = correction;
    }
}

#[inline(always)]
fn correct_body<A: Arithmetic>(weighted: &mut [f32], part: &[f32], corrections: &[f32], visible: &[usize]) {
    let padded = part.len() / visible.len();
    for (i, keys) in visible.iter().enumerate() {
        if *keys > 0 {
            let correction = corrections[i];
            for (weighted, part) in weighted[i * padded..][..padded].iter_mut().zip(&part[i * padded..][..padded]) {
                *weighted = A::mul_add(*weighted, correction, *part);
            }
        }
    }
}

/// Combines elements i, i + LANES, i + 2·LANES... in order, then the lanes pairwise. The length is a multiple of [`LANES`].
#[inline(always)]
fn fold(values: &[f32], start: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    for chunk in values.as_chunks::<LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, *value);
        }
    }
    reduce(lanes, combine)
}
