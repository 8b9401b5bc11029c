//! x · Wᵀ with AVX-512's dot products of bfloat16 pairs: twice the multiplications of a fused multiply-add, for activations
//! rounded to bfloat16. A panel's words are the instruction's operand as they are. Sums still run over rising pairs of k.
use super::Product;
use crate::kernels::codec::bf16::round_to_bf16;
use crate::kernels::lanes::WIDTH;
use crate::kernels::packed::Packed;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{Finish, for_tiles};
use std::arch::x86_64::*;

const BLOCK_ROWS: usize = 240;
const ROWS: usize = 6;
const PANELS: usize = 4;

impl Product<'_> {
    /// The weight's format is bfloat16, and the processor has AVX-512 BF16.
    pub(super) fn dot_bf16_pairs(&self, weight: &Packed) {
        thread_local!(static PAIRS: Scratch = const { Scratch::new() });
        let pairs = weight.layout.pairs;
        for_blocks(self.rows, self.columns, self.depth, WIDTH * PANELS, |rows, columns| {
            with_scratch(&PAIRS, BLOCK_ROWS * pairs, |buffer| {
                for_tiles(rows, BLOCK_ROWS, |first_row, num_rows| {
                    for row in 0..num_rows {
                        let source = &self.a[(first_row + row) * self.depth..][..self.depth];
                        round_to_pairs(source, &mut buffer[row * pairs..(row + 1) * pairs]);
                    }
                    for panel in (columns.start / WIDTH..columns.end.div_ceil(WIDTH)).step_by(PANELS) {
                        let count = PANELS.min(weight.layout.panels - panel);
                        for_tiles(0..num_rows, ROWS, |row, rows| {
                            let tile = Tile {
                                x: buffer[row * pairs..].as_ptr().cast(),
                                pairs,
                                panels: std::array::from_fn(|i| weight.panel(panel + i.min(count - 1)).codes.as_ptr()),
                                columns: self.columns - panel * WIDTH,
                                target: self.target(first_row + row, panel).data,
                                stride: self.columns,
                                begins_with_target: matches!(self.finish(0), Finish::Continue),
                            };
                            // SAFETY: rows and panels are inside the operands; the instruction set was found.
                            unsafe {
                                match rows {
                                    1 => tile.multiply::<1>(),
                                    2 => tile.multiply::<2>(),
                                    3 => tile.multiply::<3>(),
                                    4 => tile.multiply::<4>(),
                                    5 => tile.multiply::<5>(),
                                    _ => tile.multiply::<6>(),
                                }
                            }
                        });
                    }
                });
            });
        });
    }
}

/// Two bfloat16 a word, the first one in its low half; the words are kept as the bits of floats.
fn round_to_pairs(source: &[f32], target: &mut [f32]) {
    for (word, pair) in target.iter_mut().zip(source.chunks(2)) {
        let (even, odd) = (pair[0], pair.get(1).copied().unwrap_or(0.0));
        *word = f32::from_bits(u32::from(round_to_bf16(even)) | u32::from(round_to_bf16(odd)) << 16);
    }
}

struct Tile {
    x: *const i32,
    pairs: usize,
    /// Those that do not exist repeat the last one, and their sums are not written.
    panels: [*const u8; PANELS],
    columns: usize,
    target: *mut f32,
    stride: usize,
    begins_with_target: bool,
}

impl Tile {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    #[allow(clippy::needless_range_loop)] // As in kernels::tile.
    unsafe fn multiply<const R: usize>(self) {
        let mut sums = [[_mm512_setzero_ps(); PANELS]; R];
        let mut masks = [0_u16; PANELS];
        for panel in 0..PANELS {
            let columns = self.columns.saturating_sub(panel * WIDTH).min(WIDTH);
            masks[panel] = ((1_u32 << columns) - 1) as u16;
        }
        if self.begins_with_target {
            for row in 0..R {
                for panel in 0..PANELS {
                    let source = self.target.wrapping_add(row * self.stride + panel * WIDTH);
                    sums[row][panel] = unsafe { _mm512_maskz_loadu_ps(masks[panel], source) };
                }
            }
        }
        for pair in 0..self.pairs {
            let mut weights = [as_pairs(_mm512_setzero_si512()); PANELS];
            for panel in 0..PANELS {
                weights[panel] = as_pairs(unsafe { _mm512_loadu_si512(self.panels[panel].add(64 * pair).cast()) });
            }
            for row in 0..R {
                let x = as_pairs(_mm512_set1_epi32(unsafe { *self.x.add(row * self.pairs + pair) }));
                for panel in 0..PANELS {
                    sums[row][panel] = _mm512_dpbf16_ps(sums[row][panel], x, weights[panel]);
                }
            }
        }
        for row in 0..R {
            for panel in 0..PANELS {
                let target = self.target.wrapping_add(row * self.stride + panel * WIDTH);
                unsafe { _mm512_mask_storeu_ps(target, masks[panel], sums[row][panel]) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_pairs(words: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}
