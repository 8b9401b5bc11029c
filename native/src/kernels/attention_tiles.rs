//! What the attention kernels share: the tiles of keys and queries, their packing, and a product of small matrices.
//!
//! The queries that one key-value head serves are numbered row by row, head by head: i = row · H/G + head. A tile is at most
//! [`KEYS`] keys against the queries of at most [`Shape::tile_rows`] rows. Keys are counted from the start of the sequence,
//! so that the tiles of a row, and with them the order of its sums, depend on nothing but the row's own position.
use super::arithmetic::{Arithmetic, multiversion};
use crate::pool::{for_rows, threads};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Columns that a block of [`product`] works on at once.
pub const LANES: usize = 16;
/// Keys in a tile.
pub const KEYS: usize = 64;

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
pub fn pack_keys(target: &mut [f32], source: &[f32], starts: &[usize], shape: Shape) {
    for (target, start) in target.chunks_exact_mut(shape.padded()).zip(starts) {
        target[..shape.width].copy_from_slice(&source[*start..start + shape.width]);
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

    /// c[m · c_row + n] += Σ_k left(m, k) · right(k, n), with k rising through `terms` of m, for m in `0..rows` and n in
    /// `0..panels · LANES`. An element is one chain of multiply-adds whatever rows it is worked on with; no other k is read.
    pub fn product(
        c: &mut [f32],
        c_row: usize,
        left: Left,
        right: Right,
        rows: usize,
        panels: usize,
        terms: Terms
    ) = product_body;
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

/// The left operand of [`product`]: element (m, k) is `data[m · row + k · term]`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub term: usize,
}

/// The right operand of [`product`]: element (k, LANES · p + lane) is `data[p · panel + k · term + lane]`.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub data: &'a [f32],
    pub panel: usize,
    pub term: usize,
}

/// The terms k of the rows of a [`product`].
#[derive(Clone, Copy)]
pub enum Terms<'a> {
    /// 0..k for every row.
    All(usize),
    /// 0..ends[m].
    Until(&'a [usize]),
    /// starts[m]..end.
    From(&'a [usize], usize),
}

impl Terms<'_> {
    #[inline(always)]
    fn start(&self, m: usize) -> usize {
        match self {
            Terms::All(_) | Terms::Until(_) => 0,
            Terms::From(starts, _) => starts[m],
        }
    }

    #[inline(always)]
    fn end(&self, m: usize) -> usize {
        match self {
            Terms::All(end) | Terms::From(_, end) => *end,
            Terms::Until(ends) => ends[m],
        }
    }
}

/// Rows of a block: 6 rows of 16 columns fill the registers of AVX2.
const BLOCK_ROWS: usize = 6;

#[inline(always)]
fn product_body<A: Arithmetic>(
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right,
    rows: usize,
    panels: usize,
    terms: Terms,
) {
    let mut m = 0;
    while m < rows {
        let count = (rows - m).min(BLOCK_ROWS);
        let (mut start, mut end) = (terms.start(m), terms.end(m));
        for row in m..m + count {
            start = start.max(terms.start(row));
            end = end.min(terms.end(row));
        }
        end = end.max(start);
        for panel in 0..panels {
            // Terms that only some of the rows have come before and after the terms that all have.
            for row in m..m + count {
                block::<A, 1>(c, c_row, left, right, row, panel, terms.start(row)..terms.end(row).min(start));
            }
            match count {
                1 => block::<A, 1>(c, c_row, left, right, m, panel, start..end),
                2 => block::<A, 2>(c, c_row, left, right, m, panel, start..end),
                3 => block::<A, 3>(c, c_row, left, right, m, panel, start..end),
                4 => block::<A, 4>(c, c_row, left, right, m, panel, start..end),
                5 => block::<A, 5>(c, c_row, left, right, m, panel, start..end),
                _ => block::<A, BLOCK_ROWS>(c, c_row, left, right, m, panel, start..end),
            }
            for row in m..m + count {
                block::<A, 1>(c, c_row, left, right, row, panel, terms.start(row).max(end)..terms.end(row));
            }
        }
        m += count;
    }
}

/// The part of [`product`] for M rows from `m`, one panel and the same terms for all rows, with the sums in registers.
#[inline(always)]
fn block<A: Arithmetic, const M: usize>(
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right,
    m: usize,
    panel: usize,
    terms: Range<usize>,
) {
    if terms.start >= terms.end {
        return;
    }
    let last = terms.end - 1;
    assert!((m + M - 1) * c_row + (panel + 1) * LANES <= c.len());
    assert!((m + M - 1) * left.row + last * left.term < left.data.len());
    assert!(panel * right.panel + last * right.term + LANES <= right.data.len());
    // SAFETY: the largest index into each slice was checked above.
    unsafe {
        let c = c.as_mut_ptr().add(m * c_row + panel * LANES);
        let mut a = left.data.as_ptr().add(m * left.row + terms.start * left.term);
        let mut b = right.data.as_ptr().add(panel * right.panel + terms.start * right.term);
        let mut sums = [[0.0; LANES]; M];
        for (m, sums) in sums.iter_mut().enumerate() {
            *sums = c.add(m * c_row).cast::<[f32; LANES]>().read();
        }
        for _ in terms {
            let right_lanes = b.cast::<[f32; LANES]>().read();
            for (m, sums) in sums.iter_mut().enumerate() {
                let left_element = *a.add(m * left.row);
                for (sum, right_element) in sums.iter_mut().zip(right_lanes) {
                    *sum = A::mul_add(left_element, right_element, *sum);
                }
            }
            a = a.wrapping_add(left.term);
            b = b.wrapping_add(right.term);
        }
        for (m, sums) in sums.iter().enumerate() {
            c.add(m * c_row).cast::<[f32; LANES]>().write(*sums);
        }
    }
}

/// Does every unit once, the threads taking them in order as they get free. `work` is the whole's multiply-adds:
/// little work stays on the caller's thread. A unit's result must not depend on the scratch that it finds.
pub fn for_units<U: Sync, S>(units: &[U], work: usize, scratch: impl Fn() -> S + Sync, body: impl Fn(&U, &mut S) + Sync) {
    let workers = if work < 1 << 19 { 1 } else { threads().min(units.len()) };
    let next = AtomicUsize::new(0);
    for_rows(workers, 1, |workers| {
        for _ in workers {
            let mut scratch = scratch();
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                body(unit, &mut scratch);
            }
        }
    });
}
