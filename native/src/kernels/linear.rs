//! The products with a frozen weight W [out, in]: y (+)= x · Wᵀ and dx (+)= dy · W.
//!
//! Two ways with the same sums. Few rows stream the packed panels from memory once, straight into the tiles. Many rows work in
//! blocks of k (Goto and van de Geijn, 2008): a block of a panel is widened to float32 (for dy · W transposed too) into a
//! buffer in the first-level cache and serves all rows of a block of x that fits the second level; between two blocks of k
//! the sums rest in y, which is exact.
use super::codec::Codec;
use super::lanes::{Job, Lanes, WIDTH, with_lanes};
use super::packed::{Packed, with_codec};
use super::scratch::{Scratch, with_scratch};
use super::split::for_blocks;
use super::tile::{Finish, FloatPanel, RowMajor, Streamed, Target, for_tiles, multiply};
use crate::pool::SharedMut;
use crate::simd::Isa;
use std::marker::PhantomData;
use std::ops::Range;

/// k of a block: a float32 panel of so many fills half of a first-level cache of 32 KiB. A multiple of 16.
const BLOCK_DEPTH: usize = 320;
/// Rows of a block: with `BLOCK_DEPTH` they take about 300 KiB of a second-level cache of 512 KiB.
const BLOCK_ROWS: usize = 240;
/// Up to so many rows, widening weights into a buffer costs more than it saves.
const FEW_ROWS: usize = 12;

/// Columns of a block: so many sums of `BLOCK_ROWS` rows stay in the cache from one block of k to the next. A multiple of 64.
const BLOCK_COLUMNS: usize = 512;
/// How far ahead of its use a streamed panel is asked for: half a page.
const PREFETCH_BYTES: usize = 2048;

/// y [T, out] (+)= x [T, in] · Wᵀ.
pub fn forward(isa: Isa, y: &mut [f32], x: &[f32], weight: &Packed, rows: usize, accumulate: bool) {
    assert_eq!((y.len(), x.len()), (rows * weight.out, rows * weight.inputs));
    assert!(isa.is_available());
    let product = Product { c: SharedMut::new(y), a: x, rows, columns: weight.out, depth: weight.inputs, accumulate };
    with_lanes!(isa, L => with_codec!(weight.format, C => {
        if rows <= FEW_ROWS {
            product.stream::<L, C>(weight)
        } else {
            product.in_blocks::<L, _>(&Widened::<C> { weight, codec: PhantomData })
        }
    }));
}

/// dx [T, in] (+)= dy [T, out] · W.
pub fn backward(isa: Isa, dx: &mut [f32], dy: &[f32], weight: &Packed, rows: usize, accumulate: bool) {
    assert_eq!((dx.len(), dy.len()), (rows * weight.inputs, rows * weight.out));
    assert!(isa.is_available());
    let product = Product { c: SharedMut::new(dx), a: dy, rows, columns: weight.inputs, depth: weight.out, accumulate };
    with_lanes!(isa, L => with_codec!(weight.format, C => {
        product.in_blocks::<L, _>(&Transposed::<C> { weight, codec: PhantomData })
    }));
}

/// c [rows, columns] (+)= a [rows, depth] · B.
struct Product<'a> {
    c: SharedMut<f32>,
    a: &'a [f32],
    rows: usize,
    columns: usize,
    depth: usize,
    accumulate: bool,
}

impl Product<'_> {
    fn a(&self, row: usize, k: usize) -> RowMajor {
        RowMajor { data: self.a.as_ptr().wrapping_add(row * self.depth + k), stride: self.depth }
    }

    /// The part of c from `row` and the panel `panel` on.
    fn target(&self, row: usize, panel: usize) -> Target {
        let column = panel * WIDTH;
        Target {
            data: self.c.as_ptr().wrapping_add(row * self.columns + column),
            row_stride: self.columns,
            column_stride: 1,
            columns: self.columns - column,
        }
    }

    /// x · Wᵀ for few rows: panels go from memory into the tiles, four at a time where a tile has one row, so that enough sums
    /// are under way to hide the latency of an addition.
    fn stream<L: Lanes, C: Codec>(&self, weight: &Packed) {
        let finish = if self.accumulate { Finish::Continue } else { Finish::Store };
        for_blocks(1, self.columns, self.depth * self.rows, WIDTH, |_, columns| {
            let (first, last) = (columns.start / WIDTH, columns.end.div_ceil(WIDTH));
            for group in (first..last).step_by(4) {
                for_tiles(0..self.rows, L::ROWS, |row, rows| {
                    let mut panel = group;
                    let end = last.min(group + 4);
                    while panel < end {
                        let (left, a) = (end - panel, self.a(row, 0));
                        let tile = StreamedTile::<C> {
                            weight,
                            panel,
                            rows,
                            a,
                            target: self.target(row, panel),
                            finish,
                            codec: PhantomData,
                        };
                        panel += match left {
                            4.. if rows == 1 || L::PANELS >= 4 => tile.multiply::<L, 4>(),
                            2.. if rows <= 2 => tile.multiply::<L, 2>(),
                            _ => tile.multiply::<L, 1>(),
                        };
                    }
                });
            }
        });
    }

    fn in_blocks<L: Lanes, B: Source<L>>(&self, source: &B) {
        thread_local!(static PANELS: Scratch = const { Scratch::new() });
        let blocks = self.depth.div_ceil(BLOCK_DEPTH).max(1);
        let block_depth = self.depth.div_ceil(blocks).next_multiple_of(WIDTH);
        for_blocks(self.rows, self.columns, self.depth, WIDTH * L::PANELS, |rows, columns| {
            with_scratch(&PANELS, L::PANELS * block_depth * WIDTH, |buffer| {
                for_tiles(rows, BLOCK_ROWS, |row, rows| {
                    for column in columns.clone().step_by(BLOCK_COLUMNS) {
                        let columns = column..columns.end.min(column + BLOCK_COLUMNS);
                        for k in (0..self.depth.max(1)).step_by(block_depth.max(1)) {
                            let depth = k..self.depth.min(k + block_depth);
                            self.block::<L, B>(source, row..row + rows, columns.clone(), depth, buffer);
                        }
                    }
                });
            });
        });
    }

    fn block<L: Lanes, B: Source<L>>(
        &self,
        source: &B,
        rows: Range<usize>,
        columns: Range<usize>,
        depth: Range<usize>,
        buffer: &mut [f32],
    ) {
        let finish = if self.accumulate || depth.start > 0 { Finish::Continue } else { Finish::Store };
        let size = depth.len().next_multiple_of(WIDTH) * WIDTH;
        let last = columns.end.div_ceil(WIDTH);
        for panel in (columns.start / WIDTH..last).step_by(L::PANELS) {
            let count = L::PANELS.min(last - panel);
            for i in 0..count {
                let target = buffer[i * size..(i + 1) * size].as_mut_ptr();
                unsafe { L::vectorize(Prepare { source, panel: panel + i, depth: depth.clone(), target }) };
            }
            let float_panel = |i: usize| FloatPanel { data: buffer.as_ptr().wrapping_add(i * size), stride: WIDTH };
            for_tiles(rows.clone(), L::ROWS, |row, rows| {
                let a = self.a(row, depth.start);
                // SAFETY: the block lies inside a and c, the buffer holds `count` panels.
                unsafe {
                    if L::PANELS == 4 && count == 4 {
                        let panels: [FloatPanel; 4] = std::array::from_fn(float_panel);
                        multiply::<L, _, _, 4>(rows, a, panels, depth.len(), self.target(row, panel), finish);
                    } else {
                        for i in 0..count {
                            let target = self.target(row, panel + i);
                            multiply::<L, _, _, 1>(rows, a, [float_panel(i)], depth.len(), target, finish);
                        }
                    }
                }
            });
        }
    }
}

struct StreamedTile<'a, C> {
    weight: &'a Packed,
    panel: usize,
    rows: usize,
    a: RowMajor,
    target: Target,
    finish: Finish,
    codec: PhantomData<C>,
}

impl<C: Codec> StreamedTile<'_, C> {
    /// Returns P.
    fn multiply<L: Lanes, const P: usize>(self) -> usize {
        let Self { weight, panel, rows, a, target, finish, .. } = self;
        // SAFETY: the caller's rows and panels lie inside the operands.
        unsafe {
            let panels: [Streamed<C::Reader<L>>; P] = std::array::from_fn(|i| {
                let bytes = weight.panel(panel + i);
                let ahead = bytes.codes.as_ptr().wrapping_add(PREFETCH_BYTES);
                Streamed { panel: C::reader::<L>(bytes, 0), ahead, pair_bytes: C::PAIR_BYTES }
            });
            multiply::<L, _, _, P>(rows, a, panels, weight.inputs, target, finish);
        }
        P
    }
}

/// The right operand of a product in blocks: writes float32 panels.
trait Source<L: Lanes>: Sync {
    /// Writes k in `depth` (which begins at a multiple of 16) of sixteen columns as [k][16], rounded up to sixteen k.
    ///
    /// # Safety
    /// Inside [`Lanes::vectorize`]; panel, depth and target are inside their arrays.
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32);
}

struct Prepare<'a, B> {
    source: &'a B,
    panel: usize,
    depth: Range<usize>,
    target: *mut f32,
}

impl<L: Lanes, B: Source<L>> Job<L> for Prepare<'_, B> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        unsafe { self.source.prepare(self.panel, self.depth, self.target) }
    }
}

/// Wᵀ: k are inputs, columns are output rows, as packed.
struct Widened<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<C>,
}

// SAFETY: a codec is a name, not a value.
unsafe impl<C> Sync for Widened<'_, C> {}

impl<L: Lanes, C: Codec> Source<L> for Widened<'_, C> {
    #[inline(always)]
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32) {
        use super::tile::Panel;
        unsafe {
            let reader = C::reader::<L>(self.weight.panel(panel), depth.start / 2);
            for pair in 0..depth.len().div_ceil(2) {
                let (even, odd) = reader.pair(pair);
                even.store(target.add(2 * pair * WIDTH));
                odd.store(target.add((2 * pair + 1) * WIDTH));
            }
        }
    }
}

/// W: k are output rows, columns are inputs; blocks of 16 × 16 are transposed.
struct Transposed<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<C>,
}

// SAFETY: a codec is a name, not a value.
unsafe impl<C> Sync for Transposed<'_, C> {}

impl<L: Lanes, C: Codec> Source<L> for Transposed<'_, C> {
    #[inline(always)]
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32) {
        use super::tile::Panel;
        let first_pair = panel * (WIDTH / 2);
        let pairs = (WIDTH / 2).min(self.weight.layout.pairs - first_pair);
        let mut block = [0.0_f32; WIDTH * WIDTH];
        for (i, k) in depth.step_by(WIDTH).enumerate() {
            unsafe {
                let reader = C::reader::<L>(self.weight.panel(k / WIDTH), first_pair);
                for pair in 0..pairs {
                    let (even, odd) = reader.pair(pair);
                    even.store(block.as_mut_ptr().add(2 * pair * WIDTH));
                    odd.store(block.as_mut_ptr().add((2 * pair + 1) * WIDTH));
                }
                L::transpose(block.as_ptr(), target.add(i * WIDTH * WIDTH));
            }
        }
    }
}

#[cfg(test)]
mod tests;
