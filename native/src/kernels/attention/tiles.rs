//! The tiles of keys and queries that the attention kernels share, and their packing.
//!
//! The queries that one key-value head serves are numbered row by row, head by head: i = row · H/G + head. A tile is at most
//! [`KEYS`] keys against the queries of at most [`Shape::tile_rows`] rows. Keys are counted from the start of the sequence,
//! so that the tiles of a row, and with them the order of its sums, depend on nothing but the row's own position.
use super::product::LANES;
use super::stored::Element;
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use std::ops::Range;

/// Keys in a tile.
pub const KEYS: usize = 64;
/// Fewer multiply-adds than this stay on the calling thread.
pub const LITTLE: usize = 1 << 19;

/// H query heads, G key-value heads (a divisor of H), heads of E elements, and the factor of the scores.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub width: usize,
    pub scale: f32,
}

impl Shape {
    /// Query heads that share a key-value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Rows in a tile of queries: about 48 queries, which fill the second dimension of the products.
    pub fn tile_rows(&self) -> usize {
        (48 / self.group()).max(1)
    }

    pub fn tile_queries(&self) -> usize {
        self.tile_rows() * self.group()
    }

    /// E rounded up to whole lanes: the row length of packed tiles.
    pub fn padded(&self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Where the query heads of a key-value head lie in row `row` of q, out and their gradients.
    pub fn query_elements(&self, row: usize, kv_head: usize) -> Range<usize> {
        let length = self.group() * self.width;
        let start = (row * self.kv_heads + kv_head) * length;
        start..start + length
    }

    /// Where a key-value head lies in row `row` of k, v and their gradients.
    pub fn key_elements(&self, row: usize, kv_head: usize) -> Range<usize> {
        let start = (row * self.kv_heads + kv_head) * self.width;
        start..start + self.width
    }
}

/// Copies keys (or values) to rows of `shape.padded()` elements. The tile's j-th key begins at element `starts[j]` of `source`.
pub fn pack_keys(target: &mut [f32], source: &[impl Element], starts: &[usize], shape: Shape) {
    for (target, start) in target.chunks_exact_mut(shape.padded()).zip(starts) {
        for (target, element) in target.iter_mut().zip(&source[*start..start + shape.width]) {
            *target = element.widen();
        }
    }
}

multiversion! {
    /// Copies the queries of `rows` to rows of `shape.padded()` elements, times `scale`. The padding is left as it is: zeros.
    pub fn pack_queries(
        target: &mut [f32],
        source: &[f32],
        rows: Range<usize>,
        kv_head: usize,
        shape: Shape,
        scale: f32
    ) = pack_queries_body;

    /// Copies keys (or values) of `width` elements transposed: panels of [`LANES`] keys, each [width, LANES].
    /// The tile's j-th key begins at element `starts[j]` of `source`; lanes without a key get zeros.
    pub fn pack_keys_transposed(target: &mut [f32], source: &[f32], starts: &[usize], width: usize) = transpose_body;
}

#[inline(always)]
fn pack_queries_body<A: Arithmetic>(
    target: &mut [f32],
    source: &[f32],
    rows: Range<usize>,
    kv_head: usize,
    shape: Shape,
    scale: f32,
) {
    let mut targets = target.chunks_exact_mut(shape.padded());
    for row in rows {
        for (query, target) in source[shape.query_elements(row, kv_head)].chunks_exact(shape.width).zip(&mut targets) {
            for (target, value) in target.iter_mut().zip(query) {
                *target = value * scale;
            }
        }
    }
}

#[inline(always)]
fn transpose_body<A: Arithmetic>(target: &mut [f32], source: &[f32], starts: &[usize], width: usize) {
    for (starts, target) in starts.chunks(LANES).zip(target.chunks_exact_mut(width * LANES)) {
        let (target, _) = target.as_chunks_mut::<LANES>();
        if starts.len() < LANES {
            target.fill([0.0; LANES]);
        }
        let mut lane = 0;
        for starts in starts.chunks(4) {
            if let [a, b, c, d] = *starts {
                let (a, b) = (&source[a..a + width], &source[b..b + width]);
                let (c, d) = (&source[c..c + width], &source[d..d + width]);
                let quads = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
                let quads = quads.zip(c.as_chunks::<4>().0).zip(d.as_chunks::<4>().0);
                for (target, (((a, b), c), d)) in target.as_chunks_mut::<4>().0.iter_mut().zip(quads) {
                    for (target, column) in target.iter_mut().zip(transpose4(a, b, c, d)) {
                        target[lane..lane + 4].copy_from_slice(&column);
                    }
                }
                for i in width - width % 4..width {
                    target[i][lane..lane + 4].copy_from_slice(&[a[i], b[i], c[i], d[i]]);
                }
            } else {
                for (i, start) in starts.iter().enumerate() {
                    for (target, element) in target.iter_mut().zip(&source[*start..start + width]) {
                        target[lane + i] = *element;
                    }
                }
            }
            lane += starts.len();
        }
    }
}

/// The columns of the matrix with rows a, b, c and d.
#[inline(always)]
fn transpose4(a: &[f32; 4], b: &[f32; 4], c: &[f32; 4], d: &[f32; 4]) -> [[f32; 4]; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        // Spelt out, since the compiler moves single elements otherwise, which takes several times as long.
        use std::arch::x86_64::*;
        // SAFETY: every x86-64 has SSE; each load is of four elements; a vector register holds the bytes of a row.
        unsafe {
            let (a, b) = (_mm_loadu_ps(a.as_ptr()), _mm_loadu_ps(b.as_ptr()));
            let (c, d) = (_mm_loadu_ps(c.as_ptr()), _mm_loadu_ps(d.as_ptr()));
            let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            std::mem::transmute::<[__m128; 4], [[f32; 4]; 4]>([
                _mm_movelh_ps(ab_low, cd_low),
                _mm_movehl_ps(cd_low, ab_low),
                _mm_movelh_ps(ab_high, cd_high),
                _mm_movehl_ps(cd_high, ab_high),
            ])
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::array::from_fn(|i| [a[i], b[i], c[i], d[i]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{each_setting, random};

    #[test]
    fn keys_are_transposed_in_panels_and_missing_ones_are_zeros() {
        each_setting(|isa| {
            for (keys, width) in [(1, 1), (3, 5), (16, 64), (18, 7), (63, 30)] {
                let source = random(1, 100 * width);
                let starts: Vec<usize> = (0..keys).map(|key| key * 37 % 100 * width).collect();
                let mut target = vec![f32::NAN; keys.div_ceil(LANES) * width * LANES];
                pack_keys_transposed(isa, &mut target, &source, &starts, width);
                for (i, value) in target.iter().enumerate() {
                    let (element, key) = (i / LANES % width, i / (width * LANES) * LANES + i % LANES);
                    assert_eq!(*value, starts.get(key).map_or(0.0, |start| source[start + element]));
                }
            }
        });
    }
}
