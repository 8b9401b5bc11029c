//! Causal attention inside the segments of packed rows.
use super::online::{Context, Run, attend};
use super::segments::Segment;
use super::tiles::Shape;
use crate::simd::Isa;

/// Writes each row's attention over its segment's shared rows and over its own up to itself.
#[allow(clippy::too_many_arguments)]
pub fn attention_forward(
    isa: Isa,
    out: &mut [f32],
    lse: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Segment],
    shape: Shape,
) {
    let runs =
        segments.iter().map(|segment| Run { rows: segment.rows.clone(), context: Context::Segment { segment, k, v } });
    attend(isa, out, Some(lse), q, runs, shape);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::oracle::Example;
    use crate::kernels::testing::{assert_close, each_setting};

    fn forward(isa: Isa, example: &Example) -> (Vec<f32>, Vec<f32>) {
        let Example { q, k, v, segments, shape, .. } = example;
        let (mut out, mut lse) = (vec![f32::NAN; q.len()], vec![f32::NAN; example.rows() * shape.heads]);
        attention_forward(isa, &mut out, &mut lse, q, k, v, segments, *shape);
        (out, lse)
    }

    #[test]
    fn forward_matches_float64() {
        let cases: [(&[usize], usize, usize, usize); 7] = [
            (&[], 3, 1, 8),
            (&[1], 1, 1, 1),
            (&[1, 2, 67, 3], 6, 2, 7),
            (&[131, 64, 65], 9, 3, 64),
            (&[1, 300], 2, 2, 32),
            (&[97], 14, 2, 24),
            (&[5, 70], 64, 1, 17),
        ];
        for (lengths, heads, kv_heads, width) in cases {
            let example = Example::new(lengths, heads, kv_heads, width);
            let exact = example.exact();
            let differs = |isa| {
                let (out, lse) = forward(isa, &example);
                assert_close(&out, &exact.out, 2e-6);
                assert_close(&lse, &exact.lse, 2e-6);
            };
            each_setting(differs);
        }
    }

    #[test]
    fn a_segment_alone_is_the_segment_in_a_batch_and_later_rows_do_not_matter() {
        let lengths = [70, 1, 33, 129];
        let example = Example::new(&lengths, 6, 2, 20);
        let (q_row, kv_row) = (6 * 20, 2 * 20);
        each_setting(|isa| {
            let (out, lse) = forward(isa, &example);
            let mut start = 0;
            for length in lengths {
                for kept in [length, length.div_ceil(2)] {
                    let rows = start..start + kept;
                    let of = |values: &[f32], row: usize| values[rows.start * row..rows.end * row].to_vec();
                    let alone = Example {
                        segments: Example::alone(kept),
                        q: of(&example.q, q_row),
                        k: of(&example.k, kv_row),
                        v: of(&example.v, kv_row),
                        dout: Vec::new(),
                        ..example
                    };
                    assert_eq!(forward(isa, &alone), (of(&out, q_row), of(&lse, 6)));
                }
                start += length;
            }
        });
    }

    #[test]
    fn shared_rows_are_seen_as_ones_own_are() {
        for (heads, kv_heads, width) in [(6, 2, 20), (14, 2, 64), (3, 3, 8)] {
            let example = Example::sharing(heads, kv_heads, width);
            let exact = example.exact();
            let (q_row, kv_row) = (heads * width, kv_heads * width);
            each_setting(|isa| {
                let (out, lse) = forward(isa, &example);
                assert_close(&out, &exact.out, 2e-6);
                assert_close(&lse, &exact.lse, 2e-6);
                for segment in &example.segments {
                    let of = |values: &[f32], row: usize| -> Vec<f32> {
                        (0..segment.num_keys())
                            .flat_map(|key| &values[segment.row(key) * row..][..row])
                            .copied()
                            .collect()
                    };
                    let alone = Example {
                        segments: Example::alone(segment.num_keys()),
                        q: of(&example.q, q_row),
                        k: of(&example.k, kv_row),
                        v: of(&example.v, kv_row),
                        dout: Vec::new(),
                        ..example
                    };
                    let (own_out, own_lse) = forward(isa, &alone);
                    let shared = segment.shared.len();
                    assert_eq!(own_out[shared * q_row..], out[segment.rows.start * q_row..segment.rows.end * q_row]);
                    assert_eq!(own_lse[shared * heads..], lse[segment.rows.start * heads..segment.rows.end * heads]);
                }
            });
        }
    }

    #[test]
    fn a_row_does_not_see_what_comes_later() {
        each_setting(|isa| {
            let mut example = Example::new(&[100], 3, 1, 16);
            let before = forward(isa, &example);
            for values in [&mut example.k, &mut example.v] {
                values[71 * 16..].fill(f32::NAN);
            }
            let after = forward(isa, &example);
            assert_eq!(before.0[..71 * 48], after.0[..71 * 48]);
            assert_eq!(before.1[..71 * 3], after.1[..71 * 3]);
            assert!(after.0[71 * 48..].iter().chain(&after.1[71 * 3..]).all(|v| v.is_nan()));
        });
    }

    #[test]
    fn large_scores_do_not_overflow() {
        each_setting(|isa| {
            let mut example = Example::new(&[150], 2, 1, 8);
            example.q.iter_mut().for_each(|v| *v *= 200.0);
            let exact = example.exact();
            let (out, lse) = forward(isa, &example);
            assert_close(&out, &exact.out, 2e-4);
            assert_close(&lse, &exact.lse, 2e-6);
        });
    }
}
