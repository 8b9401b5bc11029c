//! Products of activations rounded to bfloat16 by AVX-512's dot products of bfloat16 pairs: twice the multiplications of a fused
//! multiply-add. In blocks as in [`super::blocks`], but the left operand is rounded once for all panels of a block of k, and a panel that
//! lies in memory as the instruction wants it is not copied. Sums run over rising pairs of k, whatever the rows beside a row.
use super::Product;
use super::bf16_words::{TransposedWords, WidenedWords, Words};
use crate::kernels::codec::Codec;
use crate::kernels::codec::bf16::round_to_bf16;
use crate::kernels::lanes::WIDTH;
use crate::kernels::packed::Packed;
use crate::kernels::scratch::{Scratch, with_scratch};
use crate::kernels::split::for_blocks;
use crate::kernels::tile::{Finish, for_tiles};
use std::arch::x86_64::*;

/// k of a block: a panel's words fill 40 KiB, four of them and a row block's words half of a second-level cache of 1 MiB.
const BLOCK_DEPTH: usize = 640;
const BLOCK_ROWS: usize = 240;
const ROWS: usize = 6;
const PANELS: usize = 4;
/// How far ahead of its use a panel that is read once is asked for: half a page.
const PREFETCH_BYTES: usize = 2048;
/// Up to so many rows the time is that of reading the weight from memory.
const FEW_ROWS: usize = 2 * ROWS;

impl Product<'_> {
    /// y (+)= x · Wᵀ. The processor has AVX-512 BF16.
    pub(super) fn forward_in_bf16<C: Codec>(&self, weight: &Packed) {
        self.dot(&WidenedWords::<C>::new(weight));
    }

    /// dx (+)= dy · W. The processor has AVX-512 BF16.
    pub(super) fn backward_in_bf16<C: Codec>(&self, weight: &Packed) {
        self.dot(&TransposedWords::<C>::new(weight));
    }

    fn dot<W: Words>(&self, source: &W) {
        thread_local!(static ROW_WORDS: Scratch = const { Scratch::new() });
        thread_local!(static PANEL_WORDS: Scratch = const { Scratch::new() });
        let blocks = self.depth.div_ceil(BLOCK_DEPTH).max(1);
        let block_depth = self.depth.div_ceil(blocks).next_multiple_of(WIDTH).max(WIDTH);
        let block_pairs = block_depth / 2;
        for_blocks(self.rows, self.columns, self.depth, WIDTH * PANELS, |rows, columns| {
            with_scratch(&PANEL_WORDS, PANELS * block_pairs * WIDTH, |panels| {
                for_tiles(rows, BLOCK_ROWS, |first, count| {
                    with_scratch(&ROW_WORDS, count * block_pairs, |words| {
                        // A sum without terms is written too.
                        for k in (0..self.depth.max(1)).step_by(block_depth) {
                            let depth = k..self.depth.min(k + block_depth);
                            let pairs = depth.len().div_ceil(2);
                            for (row, words) in words.chunks_exact_mut(pairs.max(1)).enumerate().take(count) {
                                let source = &self.a[(first + row) * self.depth..][depth.clone()];
                                // SAFETY: the instruction set was found.
                                unsafe { round_to_words(source, &mut words[..pairs]) };
                            }
                            let block = Block { words, first, count, columns: columns.clone(), depth, panels };
                            self.dot_block(source, block);
                        }
                    });
                });
            });
        });
    }

    fn dot_block<W: Words>(&self, source: &W, block: Block<'_>) {
        let Block { words, first, count, columns, depth, panels } = block;
        let pairs = depth.len().div_ceil(2);
        let finish = self.finish(depth.start);
        let last = columns.end.div_ceil(WIDTH);
        for panel in (columns.start / WIDTH..last).step_by(PANELS) {
            let size = panels.len() / PANELS;
            // A panel that does not exist repeats the last one, and its sums are not written.
            let addresses: [*const u32; PANELS] = std::array::from_fn(|i| {
                let buffer = panels[i * size..].as_mut_ptr().cast();
                // SAFETY: the instruction set was found; the buffer holds a panel of this depth.
                unsafe { source.words((panel + i).min(last - 1), &depth, buffer) }
            });
            // While tiles of rows meet these panels, the next ones come from memory: a tile asks for one.
            let mut upcoming = panel + PANELS..if W::ARE_IN_PLACE { last.min(panel + 2 * PANELS) } else { 0 };
            for_tiles(0..count, ROWS, |row, rows| {
                // SAFETY: the panel exists, and nothing is written where words are in place.
                let ahead = |panel| unsafe { source.words(panel, &depth, std::ptr::null_mut()) };
                let tile = Tile {
                    next: upcoming.next().map_or(addresses[0], ahead),
                    x: words[row * pairs..].as_ptr().cast(),
                    pairs,
                    panels: addresses,
                    columns: self.columns - panel * WIDTH,
                    target: self.target(first + row, panel).data,
                    stride: self.columns,
                    finish,
                };
                let is_streamed = W::ARE_IN_PLACE && row == 0 && count <= FEW_ROWS;
                // SAFETY: rows and panels are inside the operands; the instruction set was found.
                unsafe {
                    if is_streamed { tile.multiply_rows::<true>(rows) } else { tile.multiply_rows::<false>(rows) }
                }
            });
        }
    }
}

/// A block of the left operand, rounded to words of two k, and the part of the right one that it meets.
struct Block<'a> {
    words: &'a [f32],
    first: usize,
    count: usize,
    columns: std::ops::Range<usize>,
    depth: std::ops::Range<usize>,
    /// Room for the words of a tile's panels.
    panels: &'a mut [f32],
}

/// Two bfloat16 a word, the first one in its low half; the words are kept as the bits of floats.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn round_to_words(source: &[f32], target: &mut [f32]) {
    let (blocks, rest) = source.as_chunks::<{ 2 * WIDTH }>();
    for (block, target) in blocks.iter().zip(target.chunks_exact_mut(WIDTH)) {
        // SAFETY: the blocks have 32 floats, the targets 16 words.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(WIDTH)));
            let words = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(target.as_mut_ptr().cast(), words);
        }
    }
    for (word, pair) in target[blocks.len() * WIDTH..].iter_mut().zip(rest.chunks(2)) {
        let (even, odd) = (pair[0], pair.get(1).copied().unwrap_or(0.0));
        *word = f32::from_bits(u32::from(round_to_bf16(even)) | u32::from(round_to_bf16(odd)) << 16);
    }
}

struct Tile {
    x: *const i32,
    pairs: usize,
    panels: [*const u32; PANELS],
    next: *const u32,
    columns: usize,
    target: *mut f32,
    stride: usize,
    finish: Finish,
}

impl Tile {
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn multiply_rows<const STREAMS: bool>(self, rows: usize) {
        unsafe {
            match rows {
                1 => self.multiply::<1, STREAMS>(),
                2 => self.multiply::<2, STREAMS>(),
                3 => self.multiply::<3, STREAMS>(),
                4 => self.multiply::<4, STREAMS>(),
                5 => self.multiply::<5, STREAMS>(),
                _ => self.multiply::<ROWS, STREAMS>(),
            }
        }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    #[allow(clippy::needless_range_loop)] // As in kernels::tile.
    unsafe fn multiply<const R: usize, const STREAMS: bool>(self) {
        let mut sums = [[_mm512_setzero_ps(); PANELS]; R];
        let mut masks = [0_u16; PANELS];
        for panel in 0..PANELS {
            let columns = self.columns.saturating_sub(panel * WIDTH).min(WIDTH);
            masks[panel] = ((1_u32 << columns) - 1) as u16;
        }
        let place = |row: usize, panel: usize| self.target.wrapping_add(row * self.stride + panel * WIDTH);
        if matches!(self.finish, Finish::Continue) {
            for row in 0..R {
                for panel in 0..PANELS {
                    sums[row][panel] = unsafe { _mm512_maskz_loadu_ps(masks[panel], place(row, panel)) };
                }
            }
        }
        for pair in 0..self.pairs {
            if !STREAMS {
                _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(WIDTH * pair).cast());
            }
            let mut weights = [as_pairs(_mm512_setzero_si512()); PANELS];
            for panel in 0..PANELS {
                let words = self.panels[panel].wrapping_add(WIDTH * pair);
                if STREAMS {
                    _mm_prefetch::<_MM_HINT_T0>(words.wrapping_byte_add(PREFETCH_BYTES).cast());
                }
                weights[panel] = as_pairs(unsafe { _mm512_loadu_si512(words.cast()) });
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
                let (target, mask, mut sum) = (place(row, panel), masks[panel], sums[row][panel]);
                unsafe {
                    if matches!(self.finish, Finish::AddScaled(_)) {
                        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, target), sum);
                    }
                    _mm512_mask_storeu_ps(target, mask, sum);
                }
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
