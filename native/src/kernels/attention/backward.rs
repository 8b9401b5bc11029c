//! The vjp of causal attention inside segments. Probabilities are worked out again from the forward's lse (Dao et al., 2022):
//! with D = dout·out, p = exp(score − lse) and ds = p · (dout·v − D).
use super::gradients::{Gradients, Inputs, Saved, Tiles, Unit, add};
use super::segments::Segment;
use super::tiles::{KEYS, LITTLE, Shape};
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::kernels::math::dot;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_units;
use crate::pool::{SharedMut, for_rows, threads};
use crate::simd::Isa;
use std::ops::Range;

/// Writes dq, dk and dv.
///
/// A segment is one unit per key-value head if these are many enough to keep the threads busy; otherwise dq is done by rows and
/// dk and dv by keys, which costs two products of seven more. The sums' order is the same: dq's runs over tiles of keys from the
/// segment's start, those of dk and dv over tiles of queries from its first own row; a shared row's are summed over the segments last.
pub fn attention_backward(
    isa: Isa,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    saved: Saved,
    segments: &[Segment],
    shape: Shape,
) {
    thread_local!(static SHARED: Scratch = const { Scratch::new() });
    let units = plan(segments, shape, threads());
    let work = units.iter().map(Unit::cost).sum::<usize>() * shape.group() * shape.width;
    let mut means = vec![0.0; saved.lse.len()];
    let shared = SharedMut::new(&mut means);
    for_rows(saved.lse.len(), (8192 / shape.width).max(1), |range| {
        let elements = range.start * shape.width..range.end * shape.width;
        // SAFETY: the ranges of two parts do not overlap.
        let means = unsafe { shared.slice(range) };
        mean_rows(isa, means, &saved.dout[elements.clone()], &saved.out[elements], shape.width);
    });
    let inputs = Inputs { saved, means: &means };
    let row = shape.kv_heads * shape.width;
    let num_shared = segments.last().map_or(0, |last| last.shared_before + last.shared.len());
    with_scratch(&SHARED, 2 * num_shared * row, |shared| {
        let (shared_dk, shared_dv) = shared.split_at_mut(num_shared * row);
        let gradients = Gradients {
            dq: SharedMut::new(dq),
            dk: SharedMut::new(dk),
            dv: SharedMut::new(dv),
            shared_dk: SharedMut::new(shared_dk),
            shared_dv: SharedMut::new(shared_dv),
        };
        for_units(
            &units,
            work < LITTLE,
            || Tiles::new(shape),
            |unit, tiles| tiles.differentiate(isa, unit, &gradients, inputs, shape),
        );
        add_shared(isa, dk, shared_dk, segments, row);
        add_shared(isa, dv, shared_dv, segments, row);
    });
}

/// Adds what segments have for the rows that they share, in the order of the segments.
fn add_shared(isa: Isa, gradient: &mut [f32], parts: &[f32], segments: &[Segment], width: usize) {
    // Of a segment without rows of its own nothing was written.
    for Segment { shared, shared_before, .. } in segments.iter().filter(|segment| !segment.rows.is_empty()) {
        for (row, part) in shared.iter().zip(parts[shared_before * width..].chunks_exact(width)) {
            add(isa, &mut gradient[*row as usize * width..][..width], part);
        }
    }
}

impl Unit<'_> {
    /// Pairs of a row and a key, about, times the products for each.
    fn cost(&self) -> usize {
        let seen = |end: usize| end.saturating_sub(self.keys.start).min(self.keys.len());
        let pairs = self.rows.len() * (seen(self.rows.start + 1) + seen(self.rows.end)) / 2;
        pairs * (2 + usize::from(self.writes_dq) + 2 * usize::from(self.writes_dkv))
    }
}

fn plan<'a>(segments: &'a [Segment<'a>], shape: Shape, threads: usize) -> Vec<Unit<'a>> {
    let square = |segment: &Segment| segment.rows.len() * segment.num_keys();
    let squares: usize = segments.iter().map(square).sum();
    let mut units = Vec::new();
    for segment in segments.iter().filter(|segment| !segment.rows.is_empty()) {
        let (shared, length) = (segment.shared.len(), segment.num_keys());
        let is_small = 2 * threads * square(segment) <= squares * shape.kv_heads;
        for kv_head in 0..shape.kv_heads {
            let unit = |rows: Range<usize>, keys: Range<usize>, writes_dq, writes_dkv| Unit {
                segment,
                kv_head,
                rows,
                keys,
                writes_dq,
                writes_dkv,
            };
            if threads == 1 || is_small {
                units.push(unit(shared..length, 0..length, true, true));
                continue;
            }
            let step = 4 * shape.tile_rows();
            let row_blocks = (shared..length).step_by(step).map(|start| start..length.min(start + step));
            units.extend(row_blocks.map(|rows| unit(rows.clone(), 0..rows.end, true, false)));
            let key_blocks = (0..length).step_by(KEYS).map(|start| start..length.min(start + KEYS));
            units.extend(
                key_blocks.map(|keys| unit(Unit::first_row(segment, keys.start, shape)..length, keys, false, true)),
            );
        }
    }
    units.sort_by_key(|unit| std::cmp::Reverse(unit.cost()));
    units
}

multiversion! {
    /// means_TH = Σ_e dout · out, the mean of dp under p.
    fn mean_rows(means: &mut [f32], dout: &[f32], out: &[f32], width: usize) = mean_body;
}

#[inline(always)]
fn mean_body<A: Arithmetic>(means: &mut [f32], dout: &[f32], out: &[f32], width: usize) {
    for (i, mean) in means.iter_mut().enumerate() {
        *mean = dot::<A>(&dout[i * width..][..width], &out[i * width..][..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::attention_forward;
    use crate::kernels::attention::oracle::Example;
    use crate::kernels::testing::{assert_close, each_setting};
    use std::cell::RefCell;
    use std::collections::HashMap;

    fn backward(isa: Isa, example: &Example) -> [Vec<f32>; 3] {
        let Example { q, k, v, dout, segments, shape } = example;
        let (mut out, mut lse) = (vec![f32::NAN; q.len()], vec![f32::NAN; example.rows() * shape.heads]);
        attention_forward(isa, &mut out, &mut lse, q, k, v, segments, *shape);
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|values| vec![f32::NAN; values.len()]);
        let saved = Saved { dout, out: &out, lse: &lse, q, k, v };
        attention_backward(isa, &mut dq, &mut dk, &mut dv, saved, segments, *shape);
        [dq, dk, dv]
    }

    #[test]
    fn gradients_match_float64() {
        let cases: [(&[usize], usize, usize, usize); 7] = [
            (&[], 3, 1, 8),
            (&[2], 1, 1, 1),
            (&[1, 2, 67, 3], 6, 2, 7),
            (&[131, 64, 65], 9, 3, 64),
            (&[1, 300], 2, 2, 32),
            (&[97], 14, 2, 24),
            (&[5, 70], 64, 1, 17),
        ];
        for (lengths, heads, kv_heads, width) in cases {
            let example = Example::new(lengths, heads, kv_heads, width);
            let exact = example.exact();
            each_setting(|isa| {
                let [dq, dk, dv] = backward(isa, &example);
                assert_close(&dq, &exact.dq, 5e-6);
                assert_close(&dk, &exact.dk, 5e-6);
                assert_close(&dv, &exact.dv, 5e-6);
            });
        }
    }

    #[test]
    fn gradients_of_shared_rows_are_sums_over_the_segments() {
        for (heads, kv_heads, width) in [(6, 2, 20), (14, 2, 64), (3, 3, 8)] {
            let example = Example::sharing(heads, kv_heads, width);
            let exact = example.exact();
            let first: RefCell<HashMap<&str, [Vec<f32>; 3]>> = RefCell::default();
            each_setting(|isa| {
                let found = backward(isa, &example);
                assert_close(&found[0], &exact.dq, 5e-6);
                assert_close(&found[1], &exact.dk, 5e-6);
                assert_close(&found[2], &exact.dv, 5e-6);
                // However many threads there are.
                let mut first = first.borrow_mut();
                assert!(first.entry(isa.name()).or_insert_with(|| found.clone()) == &found);
            });
        }
    }

    #[test]
    fn gradients_of_a_segment_are_the_same_alone_and_however_the_work_is_split() {
        // Seven queries a row make tiles of six rows, which tiles of 64 keys do not line up with.
        let lengths = [150, 1, 33, 260, 64];
        let example = Example::new(&lengths, 14, 2, 20);
        let mut start = 0;
        for length in lengths {
            let rows = start..start + length;
            let of = |values: &[f32], row: usize| values[rows.start * row..rows.end * row].to_vec();
            let alone = Example {
                segments: Example::alone(length),
                q: of(&example.q, 280),
                k: of(&example.k, 40),
                v: of(&example.v, 40),
                dout: of(&example.dout, 280),
                ..example
            };
            let split = plan(&alone.segments, alone.shape, 8);
            assert!(split.iter().all(|unit| !(unit.writes_dq && unit.writes_dkv)), "this compares both ways");
            each_setting(|isa| {
                let [dq, dk, dv] = backward(isa, &example);
                assert_eq!(backward(isa, &alone), [of(&dq, 280), of(&dk, 40), of(&dv, 40)]);
            });
            start += length;
        }
    }

    #[test]
    fn a_plan_writes_every_gradient_once() {
        let shape = Shape { heads: 21, kv_heads: 3, width: 4, scale: 1.0 };
        for threads in [1, 2, 16] {
            for lengths in [&[][..], &[1], &[700], &[5, 300, 64, 1], &[64; 40]] {
                let example = Example::new(lengths, 21, 3, 4);
                let rows = example.rows();
                let (mut dq, mut dkv) = (vec![0; rows * 3], vec![0; rows * 3]);
                for unit in plan(&example.segments, shape, threads) {
                    let length = unit.segment.num_keys();
                    assert!(unit.rows.start.is_multiple_of(shape.tile_rows()) && unit.keys.start.is_multiple_of(KEYS));
                    let at = |key: usize| unit.segment.row(key) * 3 + unit.kv_head;
                    if unit.writes_dq {
                        assert!(unit.keys.start == 0 && unit.keys.end >= unit.rows.end);
                        unit.rows.clone().for_each(|row| dq[at(row)] += 1);
                    }
                    if unit.writes_dkv {
                        assert!(unit.rows.start <= unit.keys.start && unit.rows.end == length);
                        unit.keys.clone().for_each(|key| dkv[at(key)] += 1);
                    }
                }
                assert!(dq.iter().chain(&dkv).all(|count| *count == 1));
            }
        }
    }
}
