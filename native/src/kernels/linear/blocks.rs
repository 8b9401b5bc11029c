//! Products of many rows, in blocks (Goto and van de Geijn, 2008): a block of a panel is widened to float32 (for dy · W
//! transposed too) into a buffer in the first-level cache and serves all rows of a block of the left operand, which fits the
//! second level. Between two blocks of k the sums rest in c: those of x · Wᵀ go on from
//! there, which is exact; those of dy · W begin anew and are added. Blocks of k depend on the depth alone.
use super::Product;
use crate::kernels::codec::Codec;
use crate::kernels::lanes::{Job, Lanes, WIDTH};
use crate::kernels::operands::{FloatPanel, Panel, RowMajor, Rows};
use crate::kernels::packed::Packed;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{for_tiles, multiply};
use std::marker::PhantomData;
use std::ops::Range;

/// k of a block: a float32 panel of so many fills half of a first-level cache of 32 KiB. A multiple of 16.
const BLOCK_DEPTH: usize = 320;
/// Rows of a block: with `BLOCK_DEPTH` they take about 300 KiB of a second-level cache of 512 KiB.
const BLOCK_ROWS: usize = 240;
/// Columns of a block: the sums of `BLOCK_ROWS` rows stay in the cache from one block of k to the next. A multiple of 64.
const BLOCK_COLUMNS: usize = 512;
/// Rows whose distance is a multiple of so many floats (4 KiB) compete for the same sets of a cache.
const SAME_SET: usize = 1024;
/// With fewer rows, asking for the next panel takes more time than waiting for it.
const PREFETCH_ROWS: usize = 24;

impl Product<'_> {
    pub(super) fn in_blocks<L: Lanes, S: Source<L>>(&self, source: &S) {
        thread_local!(static PANELS: Scratch = const { Scratch::new() });
        thread_local!(static ROWS: Scratch = const { Scratch::new() });
        let blocks = self.depth.div_ceil(BLOCK_DEPTH).max(1);
        let block_depth = self.depth.div_ceil(blocks).next_multiple_of(WIDTH).max(WIDTH);
        for_blocks(self.rows, self.columns, self.depth, WIDTH * L::PANELS, |rows, columns| {
            with_scratch(&PANELS, L::PANELS * block_depth * WIDTH, |buffer| {
                for_tiles(rows, BLOCK_ROWS, |row, rows| {
                    for column in columns.clone().step_by(BLOCK_COLUMNS) {
                        let columns = column..columns.end.min(column + BLOCK_COLUMNS);
                        // A sum without terms is written too.
                        for k in (0..self.depth.max(1)).step_by(block_depth) {
                            let depth = k..self.depth.min(k + block_depth);
                            if self.depth.is_multiple_of(SAME_SET) && columns.len() > 4 * WIDTH {
                                with_scratch(&ROWS, rows * depth.len(), |copy| {
                                    let a = self.copied_rows(row..row + rows, &depth, copy);
                                    self.block::<L, S>(source, a, row..row + rows, columns.clone(), depth, buffer);
                                });
                            } else {
                                let a = self.a(row, k);
                                self.block::<L, S>(source, a, row..row + rows, columns.clone(), depth, buffer);
                            }
                        }
                    }
                });
            });
        });
    }

    /// A dense copy of a block of the left operand.
    fn copied_rows(&self, rows: Range<usize>, depth: &Range<usize>, copy: &mut [f32]) -> RowMajor {
        for (row, copy) in rows.zip(copy.chunks_exact_mut(depth.len())) {
            copy.copy_from_slice(&self.a[row * self.depth..][depth.clone()]);
        }
        RowMajor { data: copy.as_ptr(), stride: depth.len() }
    }

    fn block<L: Lanes, S: Source<L>>(
        &self,
        source: &S,
        a: RowMajor,
        rows: Range<usize>,
        columns: Range<usize>,
        depth: Range<usize>,
        buffer: &mut [f32],
    ) {
        let finish = self.finish(depth.start);
        let size = depth.len().next_multiple_of(WIDTH) * WIDTH;
        let last = columns.end.div_ceil(WIDTH);
        for panel in (columns.start / WIDTH..last).step_by(L::PANELS) {
            let count = L::PANELS.min(last - panel);
            for (i, target) in (panel..panel + count).zip(buffer.chunks_exact_mut(size.max(1))) {
                // SAFETY: the panel exists, the target holds it.
                unsafe { L::vectorize(Prepare { source, panel: i, depth: depth.clone(), target }) };
            }
            let float_panel = |i: usize| FloatPanel { data: buffer.as_ptr().wrapping_add(i * size), stride: WIDTH };
            let has_next = panel + count < last && rows.len() >= PREFETCH_ROWS;
            let mut ahead = has_next.then(|| Ahead::new(source.runs(panel + count, &depth)));
            for_tiles(rows.clone(), L::ROWS, |row, num_rows| {
                let a = a.skip_rows(row - rows.start);
                if let Some(ahead) = &mut ahead {
                    ahead.fetch::<L>(row + num_rows - rows.start, rows.len());
                }
                // SAFETY: the block lies inside a and c, the buffer holds `count` panels.
                unsafe {
                    if L::PANELS == 4 && count == 4 {
                        let panels: [FloatPanel; 4] = std::array::from_fn(float_panel);
                        multiply::<L, _, _, 4>(num_rows, a, panels, depth.len(), self.target(row, panel), finish);
                    } else {
                        for i in 0..count {
                            let target = self.target(row, panel + i);
                            multiply::<L, _, _, 1>(num_rows, a, [float_panel(i)], depth.len(), target, finish);
                        }
                    }
                }
            });
        }
    }
}

/// The bytes that a panel is prepared from: runs of whole cache lines.
pub(super) struct Runs {
    first: *const u8,
    count: usize,
    lines: usize,
    /// Bytes from one run to the next.
    stride: usize,
}

/// Asks for the bytes of the next panel bit by bit while the tiles of this one are computed.
struct Ahead {
    runs: Runs,
    /// The run and the line in it that come next.
    next: (usize, usize),
    done: usize,
}

impl Ahead {
    fn new(runs: Runs) -> Self {
        Self { runs, next: (0, 0), done: 0 }
    }

    /// Until `part / whole` of all lines are on their way.
    fn fetch<L: Lanes>(&mut self, part: usize, whole: usize) {
        let end = self.runs.count * self.runs.lines * part / whole;
        let (mut run, mut line) = self.next;
        for _ in self.done..end {
            // SAFETY: a prefetch cannot fault.
            unsafe { L::prefetch(self.runs.first.wrapping_add(run * self.runs.stride + 64 * line)) };
            line += 1;
            if line == self.runs.lines {
                (run, line) = (run + 1, 0);
            }
        }
        self.next = (run, line);
        self.done = end;
    }
}

/// The right operand of a product in blocks: writes float32 panels.
pub(super) trait Source<L: Lanes>: Sync {
    /// Writes k in `depth` (which begins at a multiple of 16) of sixteen columns as [k][16], rounded up to sixteen k.
    ///
    /// # Safety
    /// Inside [`Lanes::vectorize`]; panel and depth exist, the target holds them.
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32);
    /// What `prepare` reads.
    fn runs(&self, panel: usize, depth: &Range<usize>) -> Runs;
}

struct Prepare<'a, S> {
    source: &'a S,
    panel: usize,
    depth: Range<usize>,
    target: &'a mut [f32],
}

impl<L: Lanes, S: Source<L>> Job<L> for Prepare<'_, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        unsafe { self.source.prepare(self.panel, self.depth, self.target.as_mut_ptr()) }
    }
}

/// Wᵀ: k are inputs, columns are output rows, as packed.
pub(super) struct Widened<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: Codec> Widened<'a, C> {
    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, codec: PhantomData }
    }
}

impl<L: Lanes, C: Codec> Source<L> for Widened<'_, C> {
    #[inline(always)]
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32) {
        let reader = C::reader::<L>(self.weight.panel(panel), depth.start / 2);
        for pair in 0..depth.len().div_ceil(2) {
            unsafe {
                let (even, odd) = reader.pair(pair);
                even.store(target.add(2 * pair * WIDTH));
                odd.store(target.add((2 * pair + 1) * WIDTH));
            }
        }
    }

    fn runs(&self, panel: usize, depth: &Range<usize>) -> Runs {
        let first = self.weight.panel(panel).codes.as_ptr().wrapping_add(depth.start / 2 * C::PAIR_BYTES);
        Runs { first, count: 1, lines: (depth.len().div_ceil(2) * C::PAIR_BYTES).div_ceil(64), stride: 0 }
    }
}

/// W: k are output rows, columns are inputs; blocks of 16 × 16 are transposed.
pub(super) struct Transposed<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: Codec> Transposed<'a, C> {
    const PAIRS: usize = WIDTH / 2;

    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, codec: PhantomData }
    }
}

impl<L: Lanes, C: Codec> Source<L> for Transposed<'_, C> {
    #[inline(always)]
    unsafe fn prepare(&self, panel: usize, depth: Range<usize>, target: *mut f32) {
        let first_pair = panel * Self::PAIRS;
        let pairs = Self::PAIRS.min(self.weight.layout.pairs - first_pair);
        let mut block = [0.0_f32; WIDTH * WIDTH];
        for (i, k) in depth.step_by(WIDTH).enumerate() {
            let reader = C::reader::<L>(self.weight.panel(k / WIDTH), first_pair);
            for pair in 0..pairs {
                unsafe {
                    let (even, odd) = reader.pair(pair);
                    even.store(block.as_mut_ptr().add(2 * pair * WIDTH));
                    odd.store(block.as_mut_ptr().add((2 * pair + 1) * WIDTH));
                }
            }
            unsafe { L::transpose(block.as_ptr(), target.add(i * WIDTH * WIDTH)) };
        }
    }

    fn runs(&self, panel: usize, depth: &Range<usize>) -> Runs {
        let codes = self.weight.panel(depth.start / WIDTH).codes;
        Runs {
            first: codes.as_ptr().wrapping_add(panel * Self::PAIRS * C::PAIR_BYTES),
            count: depth.len().div_ceil(WIDTH),
            lines: (Self::PAIRS * C::PAIR_BYTES).div_ceil(64),
            stride: self.weight.layout.panel_bytes,
        }
    }
}
