//! Causal attention in segments and its vjp as the definition says, in float64: what the kernels' tests compare with.
use super::segments::{Segment, num_rows, segments};
use super::tiles::Shape;
use crate::kernels::testing::random;
use std::ops::Range;

/// Seeded inputs for segments of the given lengths.
pub struct Example<'a> {
    pub shape: Shape,
    pub segments: Vec<Segment<'a>>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub dout: Vec<f32>,
}

pub struct Exact {
    pub out: Vec<f64>,
    pub lse: Vec<f64>,
    pub dq: Vec<f64>,
    pub dk: Vec<f64>,
    pub dv: Vec<f64>,
}

impl<'a> Example<'a> {
    pub fn new(lengths: &[usize], heads: usize, kv_heads: usize, width: usize) -> Self {
        let mut segment_starts = Vec::new();
        for length in lengths {
            segment_starts.extend(std::iter::repeat_n(segment_starts.len() as i32, *length));
        }
        Self::of(segments(&segment_starts, None).unwrap(), heads, kv_heads, width)
    }

    /// Seeded inputs for these segments.
    pub fn of(segments: Vec<Segment<'a>>, heads: usize, kv_heads: usize, width: usize) -> Self {
        let rows = num_rows(&segments);
        let scaled = |seed, count, factor| random(seed, count).iter().map(|v| v * factor).collect();
        Self {
            shape: Shape { heads, kv_heads, width, scale: 1.0 / (width as f32).sqrt() },
            segments,
            q: scaled(1, rows * heads * width, 3.0),
            k: scaled(2, rows * kv_heads * width, 2.0),
            v: scaled(3, rows * kv_heads * width, 1.0),
            dout: scaled(4, rows * heads * width, 1.0),
        }
    }

    /// Segments that share rows with one earlier or with two, one that has no more than it shares, and some that share none.
    #[allow(clippy::single_range_in_vec_init)] // A list of ranges.
    pub fn sharing(heads: usize, kv_heads: usize, width: usize) -> Self {
        let (mut starts, mut places, mut next) = (Vec::new(), Vec::new(), 0);
        let cases: [(&[Range<i32>], i32); 7] = [
            (&[], 100),
            (&[0..70], 1),
            (&[0..70], 30),
            (&[], 9),
            (&[0..33, 101..120], 140),
            (&[0..50], 0),
            (&[131..140], 20),
        ];
        for (shared, own) in cases {
            let shared: Vec<i32> = shared.iter().cloned().flatten().collect();
            starts.extend(std::iter::repeat_n(starts.len() as i32, shared.len() + own as usize));
            places.extend(shared.into_iter().chain(next..next + own));
            next += own;
        }
        Self::of(segments(&starts, Some(places.leak())).unwrap(), heads, kv_heads, width)
    }

    /// One segment.
    pub fn alone(rows: usize) -> Vec<Segment<'a>> {
        segments(&vec![0; rows], None).unwrap()
    }

    pub fn rows(&self) -> usize {
        num_rows(&self.segments)
    }

    pub fn exact(&self) -> Exact {
        let Shape { heads, kv_heads, width, scale } = self.shape;
        let scale = f64::from(scale);
        let zeros = |length: usize| vec![0.0f64; length];
        let mut exact = Exact {
            out: zeros(self.q.len()),
            lse: zeros(self.rows() * heads),
            dq: zeros(self.q.len()),
            dk: zeros(self.k.len()),
            dv: zeros(self.k.len()),
        };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let seen = self.segments.iter().flat_map(|segment| segment.rows.clone().map(move |t| (t, segment)));
        for (t, segment) in seen {
            for head in 0..heads {
                let query = (t * heads + head) * width;
                let q = &self.q[query..query + width];
                let dout = &self.dout[query..query + width];
                let keys: Vec<usize> = (0..segment.shared.len() + t + 1 - segment.rows.start)
                    .map(|key| (segment.row(key) * kv_heads + head * kv_heads / heads) * width)
                    .collect();
                let scores: Vec<f64> = keys.iter().map(|at| scale * dot(q, &self.k[*at..at + width])).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let lse = largest + scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
                exact.lse[t * heads + head] = lse;
                let dp: Vec<f64> = keys.iter().map(|at| dot(dout, &self.v[*at..at + width])).collect();
                let mean: f64 = scores.iter().zip(&dp).map(|(s, dp)| (s - lse).exp() * dp).sum();
                for ((at, score), dp) in keys.iter().zip(&scores).zip(&dp) {
                    let p = (score - lse).exp();
                    let ds = p * (dp - mean) * scale;
                    for e in 0..width {
                        exact.out[query + e] += p * f64::from(self.v[at + e]);
                        exact.dq[query + e] += ds * f64::from(self.k[at + e]);
                        exact.dk[at + e] += ds * f64::from(self.q[query + e]);
                        exact.dv[at + e] += p * f64::from(self.dout[query + e]);
                    }
                }
            }
        }
        exact
    }
}
