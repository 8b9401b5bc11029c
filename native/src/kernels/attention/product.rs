//! A product of small matrices in the first cache: what every sum of attention over elements, keys or queries is made of.
#![allow(clippy::too_many_arguments)] // Operands are slices and strides.
use super::ahead::Lines;
use super::stored::{Bf16, Element, Stored};
use crate::kernels::arithmetic::{Arithmetic, multiversion};
use crate::simd::Isa;
use std::ops::Range;

/// Columns that a block of [`product`] works on at once.
pub const LANES: usize = 16;

/// The left operand of [`product`]: element (m, k) is `data[m · row + k · term]`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub term: usize,
}

/// The right operand of [`product`]: element (k, LANES · p + lane) is `data[start of panel p + k · term + lane]`.
#[derive(Clone, Copy)]
pub struct Right<'a, D> {
    pub data: D,
    pub panels: Panels<'a>,
    pub term: usize,
}

impl<'a, D> Right<'a, D> {
    fn holding<E>(&self, data: E) -> Right<'a, E> {
        Right { data, panels: self.panels, term: self.term }
    }
}

/// Where panels begin.
#[derive(Clone, Copy)]
pub enum Panels<'a> {
    /// At multiples of a distance.
    Every(usize),
    At(&'a [usize]),
}

impl Panels<'_> {
    #[inline(always)]
    fn start(&self, panel: usize) -> usize {
        match self {
            Panels::Every(distance) => panel * distance,
            Panels::At(starts) => starts[panel],
        }
    }
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

/// c[m · c_row + n] += Σ_k left(m, k) · right(k, n), with k rising through `terms` of m, for m in `0..rows` and n in
/// `0..panels · LANES`. An element is one chain of multiply-adds whatever rows it is worked on with; no other k is read.
pub fn product(
    isa: Isa,
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right<Stored>,
    rows: usize,
    panels: usize,
    terms: Terms,
) {
    product_ahead(isa, c, c_row, left, right, rows, panels, terms, &mut Lines::default());
}

/// The same, asking for lines `ahead` meanwhile: for as much memory as the right operand takes, while one block of rows meets it.
pub fn product_ahead(
    isa: Isa,
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right<Stored>,
    rows: usize,
    panels: usize,
    terms: Terms,
    ahead: &mut Lines,
) {
    match right.data {
        Stored::F32(data) => product_f32(isa, c, c_row, left, right.holding(data), rows, panels, terms, ahead),
        Stored::Bf16(data) => product_bf16(isa, c, c_row, left, right.holding(data), rows, panels, terms, ahead),
    }
}

multiversion! {
    fn product_f32(
        c: &mut [f32],
        c_row: usize,
        left: Left,
        right: Right<&[f32]>,
        rows: usize,
        panels: usize,
        terms: Terms,
        ahead: &mut Lines
    ) = product_body;

    fn product_bf16(
        c: &mut [f32],
        c_row: usize,
        left: Left,
        right: Right<&[Bf16]>,
        rows: usize,
        panels: usize,
        terms: Terms,
        ahead: &mut Lines
    ) = product_body;
}

/// Rows of a block: 6 rows of 16 columns fill the registers of AVX2, and so do half as many rows of two panels.
const BLOCK_ROWS: usize = 6;
const TWO_PANELS_ROWS: usize = BLOCK_ROWS / 2;

#[inline(always)]
fn product_body<A: Arithmetic>(
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right<&[impl Element]>,
    rows: usize,
    panels: usize,
    terms: Terms,
    ahead: &mut Lines,
) {
    let mut m = 0;
    while m < rows {
        let count = (rows - m).min(BLOCK_ROWS);
        let (mut start, mut end) = (terms.start(m), terms.end(m));
        let (mut first, mut last) = (start, end);
        for row in m..m + count {
            (first, start) = (first.min(terms.start(row)), start.max(terms.start(row)));
            (end, last) = (end.min(terms.end(row)), last.max(terms.end(row)));
        }
        end = end.max(start);
        let mut panel = 0;
        while panel < panels {
            let width = if count <= TWO_PANELS_ROWS { 2.min(panels - panel) } else { 1 };
            let blocks = (m..m + count).flat_map(|row| (panel..panel + width).map(move |panel| (row, panel)));
            // Terms that only some of the rows have come before and after the terms that all have.
            if first < start {
                for (row, panel) in blocks.clone() {
                    let terms = terms.start(row)..terms.end(row).min(start);
                    block::<A, _, 1, 1>(c, c_row, left, right, row, panel, terms, ahead);
                }
            }
            match (count, width) {
                (1, 1) => block::<A, _, 1, 1>(c, c_row, left, right, m, panel, start..end, ahead),
                (1, _) => block::<A, _, 1, 2>(c, c_row, left, right, m, panel, start..end, ahead),
                (2, 1) => block::<A, _, 2, 1>(c, c_row, left, right, m, panel, start..end, ahead),
                (2, _) => block::<A, _, 2, 2>(c, c_row, left, right, m, panel, start..end, ahead),
                (3, 1) => block::<A, _, 3, 1>(c, c_row, left, right, m, panel, start..end, ahead),
                (3, _) => block::<A, _, 3, 2>(c, c_row, left, right, m, panel, start..end, ahead),
                (4, _) => block::<A, _, 4, 1>(c, c_row, left, right, m, panel, start..end, ahead),
                (5, _) => block::<A, _, 5, 1>(c, c_row, left, right, m, panel, start..end, ahead),
                _ => block::<A, _, BLOCK_ROWS, 1>(c, c_row, left, right, m, panel, start..end, ahead),
            }
            if end < last {
                for (row, panel) in blocks {
                    let terms = terms.start(row).max(end)..terms.end(row);
                    block::<A, _, 1, 1>(c, c_row, left, right, row, panel, terms, ahead);
                }
            }
            panel += width;
        }
        m += count;
    }
}

/// The part of [`product`] for M rows from `m`, P panels and the same terms for all rows, with the sums in registers.
#[inline(always)]
fn block<A: Arithmetic, T: Element, const M: usize, const P: usize>(
    c: &mut [f32],
    c_row: usize,
    left: Left,
    right: Right<&[T]>,
    m: usize,
    panel: usize,
    terms: Range<usize>,
    ahead: &mut Lines,
) {
    if terms.start >= terms.end {
        return;
    }
    let last = terms.end - 1;
    assert!((m + M - 1) * c_row + (panel + P) * LANES <= c.len());
    assert!((m + M - 1) * left.row + last * left.term < left.data.len());
    let mut places = [std::ptr::null::<T>(); P];
    for (i, place) in places.iter_mut().enumerate() {
        let start = right.panels.start(panel + i);
        assert!(start + last * right.term + LANES <= right.data.len());
        *place = right.data.as_ptr().wrapping_add(start + terms.start * right.term);
    }
    // SAFETY: the largest index into each slice was checked above.
    unsafe {
        let c = c.as_mut_ptr().add(m * c_row + panel * LANES);
        let mut a = left.data.as_ptr().add(m * left.row + terms.start * left.term);
        let mut sums = [[[0.0; LANES]; P]; M];
        for (m, sums) in sums.iter_mut().enumerate() {
            for (p, sums) in sums.iter_mut().enumerate() {
                *sums = c.add(m * c_row + p * LANES).cast::<[f32; LANES]>().read();
            }
        }
        for term in terms {
            // A panel of bfloat16 is half a line.
            if size_of::<T>() == size_of::<f32>() || term % 2 == 0 {
                (0..P).for_each(|_| ahead.ask());
            }
            let right_lanes = places.map(|place| place.cast::<[T; LANES]>().read().map(T::widen));
            for (m, sums) in sums.iter_mut().enumerate() {
                let left_element = *a.add(m * left.row);
                for (sums, right_lanes) in sums.iter_mut().zip(right_lanes) {
                    for (sum, right_element) in sums.iter_mut().zip(right_lanes) {
                        *sum = A::mul_add(left_element, right_element, *sum);
                    }
                }
            }
            a = a.wrapping_add(left.term);
            places = places.map(|place| place.wrapping_add(right.term));
        }
        for (m, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                c.add(m * c_row + p * LANES).cast::<[f32; LANES]>().write(*sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, each_setting, random};

    const DEPTH: usize = 23;

    #[test]
    fn products_match_float64_and_an_element_does_not_depend_on_the_other_rows() {
        each_setting(|isa| {
            for rows in [1, 2, 3, 4, 5, 6, 7, 13] {
                let starts: Vec<usize> = (0..rows).map(|m| m * 5 % 7).collect();
                let ends: Vec<usize> = (0..rows).map(|m| m * 11 % (DEPTH + 1)).collect();
                for terms in [Terms::All(DEPTH), Terms::Until(&ends), Terms::From(&starts, DEPTH)] {
                    let (a, b, before) = (random(1, rows * DEPTH), random(2, 2 * DEPTH * LANES), random(3, rows * 32));
                    // Rows beside each other in memory, and terms beside each other, must come to the same.
                    let mut turned = vec![0.0; a.len()];
                    (0..a.len()).for_each(|i| turned[i % DEPTH * rows + i / DEPTH] = a[i]);
                    let by_rows = Left { data: &a, row: DEPTH, term: 1 };
                    let by_terms = Left { data: &turned, row: 1, term: rows };
                    let right = Right { data: Stored::F32(&b), panels: Panels::Every(DEPTH * LANES), term: LANES };
                    let (mut c, mut c_turned) = (before.clone(), before.clone());
                    product(isa, &mut c, 32, by_rows, right, rows, 2, terms);
                    product(isa, &mut c_turned, 32, by_terms, right, rows, 2, terms);
                    assert_eq!(c, c_turned);
                    let mut exact = Vec::new();
                    for m in 0..rows {
                        let span = terms.start(m)..terms.end(m);
                        exact.extend((0..32).map(|n| {
                            let column = &b[n / LANES * DEPTH * LANES + n % LANES..];
                            let term = |k: usize| f64::from(a[m * DEPTH + k]) * f64::from(column[k * LANES]);
                            f64::from(before[m * 32 + n]) + span.clone().map(term).sum::<f64>()
                        }));
                        let mut alone = before[m * 32..(m + 1) * 32].to_vec();
                        let (start, end) = ([span.start], [span.end]);
                        let terms = if span.start > 0 { Terms::From(&start, span.end) } else { Terms::Until(&end) };
                        let left = Left { data: &a[m * DEPTH..], row: DEPTH, term: 1 };
                        product(isa, &mut alone, 32, left, right, 1, 2, terms);
                        assert_eq!(alone, c[m * 32..(m + 1) * 32]);
                    }
                    assert_close(&c, &exact, 1e-6);
                }
            }
        });
    }
}
