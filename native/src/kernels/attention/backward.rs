//! The vjp of causal attention inside segments. Probabilities are worked out again from the forward's lse (Dao et al., 2022):
//! with D = dout·out, p = exp(score − lse) and ds = p · (dout·v − D).
use super::forward::segments;
use super::gradients::{Gradients, Inputs, Saved, Scratch, Unit};
use super::tiles::{KEYS, LITTLE, Shape};
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::kernels::math::dot;
use crate::kernels::split::for_units;
use crate::pool::{SharedMut, for_rows, threads};
use crate::simd::Isa;
use std::ops::Range;

/// Writes dq, dk and dv.
///
/// A segment is one unit per key-value head if these are many enough to keep the threads busy; otherwise dq is done by rows and
/// dk and dv by keys, which costs two products of seven more. The sums' order is the same: dq's runs over tiles of keys, those
/// of dk and dv over tiles of queries, both from the segment's start.
pub fn attention_backward(
    isa: Isa,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    saved: Saved,
    segment_starts: &[i32],
    shape: Shape,
) {
    let units = plan(&segments(segment_starts), shape, threads());
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
    let gradients = Gradients { dq: SharedMut::new(dq), dk: SharedMut::new(dk), dv: SharedMut::new(dv) };
    for_units(
        &units,
        work < LITTLE,
        || Scratch::new(shape),
        |unit, scratch| scratch.differentiate(isa, unit, &gradients, inputs, shape),
    );
}

impl Unit {
    /// Pairs of a row and a key, about, times the products for each.
    fn cost(&self) -> usize {
        let seen = |end: usize| end.saturating_sub(self.keys.start).min(self.keys.len());
        let pairs = self.rows.len() * (seen(self.rows.start + 1) + seen(self.rows.end)) / 2;
        pairs * (2 + usize::from(self.writes_dq) + 2 * usize::from(self.writes_dkv))
    }
}

fn plan(segments: &[Range<usize>], shape: Shape, threads: usize) -> Vec<Unit> {
    let squares: usize = segments.iter().map(|segment| segment.len() * segment.len()).sum();
    let mut units = Vec::new();
    for segment in segments {
        let length = segment.len();
        let is_small = 2 * threads * length * length <= squares * shape.kv_heads;
        for kv_head in 0..shape.kv_heads {
            let unit = |rows: Range<usize>, keys: Range<usize>, writes_dq, writes_dkv| Unit {
                segment: segment.clone(),
                kv_head,
                rows,
                keys,
                writes_dq,
                writes_dkv,
            };
            if threads == 1 || is_small {
                units.push(unit(0..length, 0..length, true, true));
                continue;
            }
            let step = 4 * shape.tile_rows();
            let row_blocks = (0..length).step_by(step).map(|start| start..length.min(start + step));
            units.extend(row_blocks.map(|rows| unit(rows.clone(), 0..rows.end, true, false)));
            let key_blocks = (0..length).step_by(KEYS).map(|start| start..length.min(start + KEYS));
            units.extend(key_blocks.map(|keys| {
                let first_row = keys.start / shape.tile_rows() * shape.tile_rows();
                unit(first_row..length, keys, false, true)
            }));
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

    fn backward(isa: Isa, example: &Example) -> [Vec<f32>; 3] {
        let Example { q, k, v, dout, segment_starts, shape } = example;
        let (mut out, mut lse) = (vec![f32::NAN; q.len()], vec![f32::NAN; example.rows() * shape.heads]);
        attention_forward(isa, &mut out, &mut lse, q, k, v, segment_starts, *shape);
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|values| vec![f32::NAN; values.len()]);
        let saved = Saved { dout, out: &out, lse: &lse, q, k, v };
        attention_backward(isa, &mut dq, &mut dk, &mut dv, saved, segment_starts, *shape);
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
    fn gradients_of_a_segment_are_the_same_alone_and_however_the_work_is_split() {
        // Seven queries a row make tiles of six rows, which tiles of 64 keys do not line up with.
        let lengths = [150, 1, 33, 260, 64];
        let example = Example::new(&lengths, 14, 2, 20);
        let mut start = 0;
        for length in lengths {
            let rows = start..start + length;
            let of = |values: &[f32], row: usize| values[rows.start * row..rows.end * row].to_vec();
            let alone = Example {
                segment_starts: vec![0; length],
                q: of(&example.q, 280),
                k: of(&example.k, 40),
                v: of(&example.v, 40),
                dout: of(&example.dout, 280),
                ..example
            };
            let split = plan(&segments(&alone.segment_starts), alone.shape, 8);
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
                for unit in plan(&segments(&example.segment_starts), shape, threads) {
                    let length = unit.segment.len();
                    assert!(unit.rows.start.is_multiple_of(shape.tile_rows()) && unit.keys.start.is_multiple_of(KEYS));
                    let at = |local: usize| (unit.segment.start + local) * 3 + unit.kv_head;
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
