//! Products of int8 weights with activations rounded to int8, by AVX-512's dot products of four bytes: four times the
//! multiplications of a fused multiply-add in float32, and weights are read as they lie. Each row is rounded in blocks of 32 k
//! with one scale each, as llama.cpp does, so that one large activation costs its own block digits and no other.
//! A block's sum is of whole numbers and exact; blocks are added in float32 in rising order, whatever the rows beside a row.
use super::Product;
use crate::kernels::codec::int8::QUAD;
use crate::kernels::lanes::WIDTH;
use crate::kernels::packed::Packed;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{Finish, for_tiles};
use std::arch::x86_64::*;

/// k that share a scale.
const BLOCK: usize = 32;
const QUADS: usize = BLOCK / QUAD;
/// Sums of whole numbers and of floats of a tile, and what they are made from, fill the registers.
const ROWS: usize = 4;
const PANELS: usize = 3;
/// Rows that are rounded before their products: their codes stay in a second-level cache.
const BLOCK_ROWS: usize = 240;
/// How far ahead of its use a panel that is read once is asked for: half a page.
const PREFETCH_BYTES: usize = 2048;
/// Added to a weight's code, as the instruction takes one operand without a sign; see [`Rounded::corrections`].
const OFFSET: i32 = 128;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512vnni")
}

impl Product<'_> {
    /// y (+)= x · Wᵀ, W in int8. The processor has AVX-512 VNNI.
    pub(super) fn forward_in_int8(&self, weight: &Packed) {
        thread_local!(static CODES: Scratch = const { Scratch::new() });
        let blocks = self.depth.div_ceil(BLOCK);
        for_blocks(self.rows, self.columns, self.depth, WIDTH * PANELS, |rows, columns| {
            for_tiles(rows, BLOCK_ROWS, |first, count| {
                with_scratch(&CODES, count * blocks * Rounded::WORDS, |words| {
                    let stride = blocks * Rounded::WORDS;
                    for (row, words) in words.chunks_exact_mut(stride.max(1)).enumerate() {
                        let source = &self.a[(first + row) * self.depth..][..self.depth];
                        // SAFETY: the instruction set was found; there is room for every block.
                        unsafe { round_row(source, Rounded { words: words.as_mut_ptr(), blocks }) };
                    }
                    let rounded = Rounded { words: words.as_mut_ptr(), blocks };
                    self.int8_block(weight, rounded, first..first + count, columns.clone());
                });
            });
        });
    }

    fn int8_block(
        &self,
        weight: &Packed,
        rounded: Rounded,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) {
        let last = columns.end.div_ceil(WIDTH);
        let codes = |panel: usize| weight.panel(panel).codes.as_ptr();
        for panel in (columns.start / WIDTH..last).step_by(PANELS) {
            // A panel that does not exist repeats the last one, and its sums are not written.
            let panels = std::array::from_fn(|i| codes((panel + i).min(last - 1)));
            let scales = std::array::from_fn(|i| weight.panel((panel + i).min(last - 1)).rows.as_ptr().cast());
            // While tiles of rows meet these panels, the next ones come from memory: a tile asks for one.
            let mut upcoming = panel + PANELS..last.min(panel + 2 * PANELS);
            for_tiles(rows.clone(), ROWS, |row, num_rows| {
                let tile = Tile {
                    x: rounded.skip_rows(row - rows.start),
                    quads: weight.layout.pairs / 2,
                    next: upcoming.next().map_or(panels[0], codes),
                    panels,
                    scales,
                    columns: self.columns - panel * WIDTH,
                    target: self.target(row, panel).data,
                    stride: self.columns,
                    finish: self.finish(0),
                };
                // SAFETY: rows and panels are inside the operands; the instruction set was found.
                unsafe {
                    if rows.len() <= ROWS {
                        tile.multiply_rows::<true>(num_rows);
                    } else {
                        tile.multiply_rows::<false>(num_rows);
                    }
                }
            });
        }
    }
}

/// Rows in int8. Of each row first the codes of its blocks, then a scale for each, then a correction.
#[derive(Clone, Copy)]
struct Rounded {
    words: *mut f32,
    blocks: usize,
}

impl Rounded {
    /// Words of a block.
    const WORDS: usize = QUADS + 2;

    fn skip_rows(self, rows: usize) -> Self {
        Self { words: self.words.wrapping_add(rows * self.blocks * Self::WORDS), ..self }
    }

    /// Four codes a word.
    fn codes(self) -> *mut i32 {
        self.words.cast()
    }

    fn scales(self) -> *mut f32 {
        self.words.wrapping_add(self.blocks * QUADS)
    }

    /// What a block's sum begins with: −`OFFSET` times the sum of its codes.
    fn corrections(self) -> *mut i32 {
        self.words.wrapping_add(self.blocks * (QUADS + 1)).cast()
    }
}

/// Code = x / scale to the nearest, ties to even, with scale = max|x| / 127 of the block. A block without a normal scale is zero;
/// one with an infinity or a NaN has the scale NaN, so that every sum of the row is NaN too.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn round_row(source: &[f32], target: Rounded) {
    for (block, values) in source.chunks(BLOCK).enumerate() {
        let mut lanes = [_mm512_setzero_ps(); BLOCK / WIDTH];
        let mut largest = _mm512_setzero_si512();
        for (lanes, values) in lanes.iter_mut().zip(values.chunks(WIDTH)) {
            *lanes = unsafe { _mm512_maskz_loadu_ps((u32::MAX >> (32 - values.len())) as u16, values.as_ptr()) };
            // Magnitudes rise with their bits, through infinity to NaN.
            largest =
                _mm512_max_epu32(largest, _mm512_and_si512(_mm512_castps_si512(*lanes), _mm512_set1_epi32(i32::MAX)));
        }
        let largest = f32::from_bits(_mm512_reduce_max_epu32(largest));
        let scale = if largest.is_finite() { largest / 127.0 } else { f32::NAN };
        let inverse = if scale.is_normal() { 1.0 / scale } else { 0.0 };
        let mut sum = _mm512_setzero_si512();
        for (i, lanes) in lanes.into_iter().enumerate() {
            let whole = _mm512_cvtps_epi32(_mm512_mul_ps(lanes, _mm512_set1_ps(inverse)));
            sum = _mm512_add_epi32(sum, whole);
            let place = target.codes().wrapping_add(block * QUADS + i * WIDTH / QUAD);
            // SAFETY: the target has every block.
            unsafe { _mm_storeu_si128(place.cast(), _mm512_cvtsepi32_epi8(whole)) };
        }
        // SAFETY: as above.
        unsafe {
            *target.scales().add(block) = if scale.is_normal() || scale.is_nan() { scale } else { 0.0 };
            *target.corrections().add(block) = -OFFSET * _mm512_reduce_add_epi32(sum);
        }
    }
}

struct Tile {
    x: Rounded,
    /// Fours of k.
    quads: usize,
    panels: [*const u8; PANELS],
    /// Of the weights' rows.
    scales: [*const f32; PANELS],
    next: *const u8,
    columns: usize,
    target: *mut f32,
    stride: usize,
    finish: Finish,
}

impl Tile {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply_rows<const STREAMS: bool>(self, rows: usize) {
        unsafe {
            match rows {
                1 => self.multiply::<1, STREAMS>(),
                2 => self.multiply::<2, STREAMS>(),
                3 => self.multiply::<3, STREAMS>(),
                _ => self.multiply::<ROWS, STREAMS>(),
            }
        }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[allow(clippy::needless_range_loop)] // As in kernels::tile.
    unsafe fn multiply<const R: usize, const STREAMS: bool>(self) {
        let rows: [Rounded; R] = std::array::from_fn(|row| self.x.skip_rows(row));
        let without_sign = _mm512_set1_epi8(OFFSET as u8 as i8);
        let mut sums = [[_mm512_setzero_ps(); PANELS]; R];
        for block in 0..self.x.blocks {
            let mut dots = [[_mm512_setzero_si512(); PANELS]; R];
            for row in 0..R {
                dots[row] = [_mm512_set1_epi32(unsafe { *rows[row].corrections().add(block) }); PANELS];
            }
            for quad in block * QUADS..self.quads.min((block + 1) * QUADS) {
                let at = quad * QUAD * WIDTH;
                if !STREAMS {
                    _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(at).cast());
                }
                let mut weights = [_mm512_setzero_si512(); PANELS];
                for panel in 0..PANELS {
                    let codes = self.panels[panel].wrapping_add(at);
                    if STREAMS {
                        _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(PREFETCH_BYTES).cast());
                    }
                    weights[panel] = _mm512_xor_si512(unsafe { _mm512_loadu_si512(codes.cast()) }, without_sign);
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
                    let scales = _mm512_loadu_ps(self.scales[panel]);
                    let before = match self.finish {
                        Finish::Store => _mm512_setzero_ps(),
                        _ => _mm512_maskz_loadu_ps(mask, target),
                    };
                    _mm512_mask_storeu_ps(target, mask, _mm512_fmadd_ps(scales, sums[row][panel], before));
                }
            }
        }
    }
}
