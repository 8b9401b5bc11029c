//! Products in int8, of activations and weights that are rounded to it, by AVX-512's dot products of four bytes: four times the
//! multiplications of a fused multiply-add in float32, twice those of bfloat16 pairs. A block's sum is of whole numbers and exact; blocks are
//! added in float32 in rising order, whatever the rows beside a row.
use super::Product;
use super::int8_rows::{BLOCK, OFFSET, QUADS, RoundedRows};
use super::int8_words::{ByteCodec, TransposedWords, WidenedWords, Words};
use crate::kernels::lanes::WIDTH;
use crate::kernels::packed::Packed;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{Finish, for_tiles};
use crate::pool::threads;
use std::arch::x86_64::*;

/// Sums of whole numbers and of floats of a tile, and what they are made from, fill the registers.
const ROWS: usize = 4;
const PANELS: usize = 3;
/// k of a block of products, a multiple of `BLOCK`.
const BLOCK_DEPTH: usize = 1536;
/// Of a block's rows, rounded: they and a tile's panels take half of a second-level cache of 1 MiB.
const BLOCK_BYTES: usize = 416 << 10;
/// With so many rows for each thread, threads share the rows: rounding them twice takes longer than reading the weight twice.
const MANY_ROWS: usize = 128;
/// How far ahead of its use a panel that is read once is asked for: half a page.
const PREFETCH_BYTES: usize = 2048;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512vnni")
}

impl Product<'_> {
    /// y (+)= x · Wᵀ. The processor has AVX-512 VNNI.
    pub(super) fn forward_in_int8<C: ByteCodec>(&self, weight: &Packed) {
        self.int8_dot(&WidenedWords::<C>::new(weight));
    }

    /// dx (+)= dy · W. The processor has AVX-512 VNNI.
    pub(super) fn backward_in_int8<C: ByteCodec>(&self, weight: &Packed) {
        self.int8_dot(&TransposedWords::<C>::new(weight));
    }

    fn int8_dot<W: Words>(&self, source: &W) {
        thread_local!(static ROW_CODES: Scratch = const { Scratch::new() });
        thread_local!(static PANEL_CODES: Scratch = const { Scratch::new() });
        let parts = self.depth.div_ceil(BLOCK_DEPTH).max(1);
        let part_depth = self.depth.div_ceil(parts).next_multiple_of(BLOCK).max(BLOCK);
        let panel_size = part_depth / BLOCK * QUADS * WIDTH;
        let block_rows = BLOCK_BYTES / 4 / RoundedRows::size(1, part_depth / BLOCK) / ROWS * ROWS;
        let has_many_rows = self.rows >= MANY_ROWS * threads();
        let grain = if has_many_rows { self.columns.next_multiple_of(WIDTH).max(WIDTH) } else { WIDTH * PANELS };
        for_blocks(self.rows, self.columns, self.depth, grain, |rows, columns| {
            with_scratch(&PANEL_CODES, PANELS * panel_size, |panels| {
                for_tiles(rows, block_rows, |first, count| {
                    // A sum without terms is written too.
                    for k in (0..self.depth.max(1)).step_by(part_depth) {
                        let depth = k..self.depth.min(k + part_depth);
                        let blocks = depth.len().div_ceil(BLOCK);
                        with_scratch(&ROW_CODES, RoundedRows::size(count, blocks), |codes| {
                            let rows = (first..first + count).map(|row| &self.a[row * self.depth..][depth.clone()]);
                            let factors = source.factors();
                            let factors = if factors.is_empty() { factors } else { &factors[depth.clone()] };
                            let rounded = RoundedRows::round(rows, factors, blocks, codes);
                            let block = Block { rounded, first, count, columns: columns.clone(), depth, panels };
                            self.int8_block(source, block);
                        });
                    }
                });
            });
        });
    }

    fn int8_block<W: Words>(&self, source: &W, block: Block<'_>) {
        let Block { rounded, first, count, columns, depth, panels } = block;
        let (size, last) = (panels.len() / PANELS, columns.end.div_ceil(WIDTH));
        let are_in_place = source.are_in_place();
        for panel in (columns.start / WIDTH..last).step_by(PANELS) {
            // A panel that does not exist repeats the last one, and its sums are not written.
            let mut prepared = [std::ptr::null(); PANELS];
            let mut scales = [&[0.0; WIDTH]; PANELS];
            for (i, (words, scales)) in prepared.iter_mut().zip(&mut scales).enumerate() {
                let panel = (panel + i).min(last - 1);
                // SAFETY: the instruction set was found; the buffer holds a panel of this depth.
                *words = unsafe { source.words(panel, &depth, panels[i * size..][..size].as_mut_ptr().cast()) };
                *scales = source.column_scales(panel);
            }
            // While tiles of rows meet these panels, the next ones come from memory: a tile asks for one.
            let mut upcoming = panel + PANELS..if are_in_place { last.min(panel + 2 * PANELS) } else { 0 };
            for_tiles(0..count, ROWS, |row, rows| {
                // SAFETY: the panel exists, and nothing is written where words are in place.
                let ahead = |panel| unsafe { source.words(panel, &depth, std::ptr::null_mut()) };
                let tile = Tile {
                    x: rounded.skip_rows(row),
                    next: upcoming.next().map_or(prepared[0], ahead),
                    panels: prepared,
                    scales,
                    columns: self.columns - panel * WIDTH,
                    target: self.target(first + row, panel).data,
                    stride: self.columns,
                    finish: self.finish(depth.start),
                };
                // SAFETY: rows and panels are inside the operands; the instruction set was found.
                unsafe {
                    match (are_in_place, count <= ROWS) {
                        (true, true) => tile.multiply_rows::<true, true>(rows),
                        (true, false) => tile.multiply_rows::<true, false>(rows),
                        (false, _) => tile.multiply_rows::<false, false>(rows),
                    }
                }
            });
        }
    }
}

/// A block of the left operand, rounded, and the part of the right one that it meets.
struct Block<'a> {
    rounded: RoundedRows,
    first: usize,
    count: usize,
    columns: std::ops::Range<usize>,
    depth: std::ops::Range<usize>,
    /// Room for a tile's panels.
    panels: &'a mut [f32],
}

struct Tile<'a> {
    x: RoundedRows,
    panels: [*const i32; PANELS],
    scales: [&'a [f32; WIDTH]; PANELS],
    /// A panel to ask for in passing.
    next: *const i32,
    columns: usize,
    target: *mut f32,
    stride: usize,
    finish: Finish,
}

impl Tile<'_> {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply_rows<const IS_IN_PLACE: bool, const STREAMS: bool>(self, rows: usize) {
        unsafe {
            match rows {
                1 => self.multiply::<1, IS_IN_PLACE, STREAMS>(),
                2 => self.multiply::<2, IS_IN_PLACE, STREAMS>(),
                3 => self.multiply::<3, IS_IN_PLACE, STREAMS>(),
                _ => self.multiply::<ROWS, IS_IN_PLACE, STREAMS>(),
            }
        }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[allow(clippy::needless_range_loop)] // As in kernels::tile.
    unsafe fn multiply<const R: usize, const IS_IN_PLACE: bool, const STREAMS: bool>(self) {
        let mut rows = [self.x; R];
        for row in 0..R {
            rows[row] = self.x.skip_rows(row);
        }
        let offset = _mm512_set1_epi8(OFFSET as i8);
        let mut sums = [[_mm512_setzero_ps(); PANELS]; R];
        for block in 0..self.x.blocks {
            let mut dots = [[_mm512_setzero_si512(); PANELS]; R];
            for row in 0..R {
                dots[row] = [_mm512_set1_epi32(unsafe { *rows[row].starts().add(block) }); PANELS];
            }
            for quad in block * QUADS..(block + 1) * QUADS {
                let at = quad * WIDTH;
                if IS_IN_PLACE && !STREAMS {
                    _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(at).cast());
                }
                let mut weights = [_mm512_setzero_si512(); PANELS];
                for panel in 0..PANELS {
                    let words = self.panels[panel].wrapping_add(at);
                    if STREAMS {
                        _mm_prefetch::<_MM_HINT_T0>(words.wrapping_byte_add(PREFETCH_BYTES).cast());
                    }
                    weights[panel] = unsafe { _mm512_loadu_si512(words.cast()) };
                    if IS_IN_PLACE {
                        weights[panel] = _mm512_xor_si512(weights[panel], offset);
                    }
                }
                for row in 0..R {
                    let x = _mm512_set1_epi32(unsafe { *rows[row].codes().add(quad) });
                    for panel in 0..PANELS {
                        dots[row][panel] = _mm512_dpbusd_epi32(dots[row][panel], weights[panel], x);
                    }
                }
            }
            for row in 0..R {
                let scale = _mm512_set1_ps(unsafe { *rows[row].scales().add(block) });
                for panel in 0..PANELS {
                    sums[row][panel] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dots[row][panel]), sums[row][panel]);
                }
            }
        }
        for panel in 0..PANELS {
            let columns = self.columns.saturating_sub(panel * WIDTH).min(WIDTH);
            let mask = ((1_u32 << columns) - 1) as u16;
            for row in 0..R {
                let target = self.target.wrapping_add(row * self.stride + panel * WIDTH);
                unsafe {
                    let before = match self.finish {
                        Finish::Store => _mm512_setzero_ps(),
                        _ => _mm512_maskz_loadu_ps(mask, target),
                    };
                    let scales = _mm512_loadu_ps(self.scales[panel].as_ptr());
                    let sum = _mm512_fmadd_ps(scales, sums[row][panel], before);
                    _mm512_mask_storeu_ps(target, mask, sum);
                }
            }
        }
    }
}
