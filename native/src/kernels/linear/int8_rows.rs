//! The left operand of the products in int8: rows rounded in blocks of 32 k with one scale each, as llama.cpp does, so that one large
//! value costs its own block digits and no other.
use crate::kernels::codec::int8::QUAD;
use crate::kernels::lanes::WIDTH;
use std::arch::x86_64::*;

/// k that share a scale.
pub(super) const BLOCK: usize = 32;
/// Words of a block.
pub(super) const QUADS: usize = BLOCK / QUAD;
/// Added to the codes of the right operand, as the instruction takes one without a sign; see [`RoundedRows::starts`].
pub(super) const OFFSET: u8 = 128;

/// Of each row first the codes of its blocks, four a word, then a scale for each block, then a start.
#[derive(Clone, Copy)]
pub(super) struct RoundedRows {
    words: *mut f32,
    pub blocks: usize,
}

impl RoundedRows {
    /// Floats that rows of `blocks` blocks take.
    pub fn size(rows: usize, blocks: usize) -> usize {
        rows * blocks * (QUADS + 2)
    }

    /// Rounds `rows`, each multiplied by `factors` (none if empty) k by k, into `memory`, which has [`Self::size`].
    /// The processor has AVX-512 VNNI.
    pub fn round<'a>(
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
        factors: &[f32],
        blocks: usize,
        memory: &mut [f32],
    ) -> Self {
        assert_eq!(memory.len(), Self::size(rows.len(), blocks));
        let rounded = Self { words: memory.as_mut_ptr(), blocks };
        for (index, row) in rows.enumerate() {
            assert!(row.len().div_ceil(BLOCK) <= blocks && (factors.is_empty() || factors.len() == row.len()));
            // SAFETY: the instruction set was found; the memory has this row and all of its blocks.
            unsafe { round_row(row, factors, rounded.skip_rows(index)) };
        }
        rounded
    }

    pub fn skip_rows(self, rows: usize) -> Self {
        Self { words: self.words.wrapping_add(Self::size(rows, self.blocks)), ..self }
    }

    pub fn codes(self) -> *mut i32 {
        self.words.cast()
    }

    pub fn scales(self) -> *mut f32 {
        self.words.wrapping_add(self.blocks * QUADS)
    }

    /// What a block's sums begin with: −`OFFSET` times the sum of its codes.
    pub fn starts(self) -> *mut i32 {
        self.words.wrapping_add(self.blocks * (QUADS + 1)).cast()
    }
}

/// Code = x / scale to the nearest, ties to even, with scale = max|x| / 127 of the block. A block without a normal scale is zero;
/// one with an infinity or a NaN has the scale NaN, so that every sum of the row is NaN too.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[allow(clippy::needless_range_loop)] // As in kernels::tile.
unsafe fn round_row(row: &[f32], factors: &[f32], target: RoundedRows) {
    // Sixteen blocks at a time: their scales are the lanes of one vector.
    for first in (0..target.blocks).step_by(WIDTH) {
        let count = WIDTH.min(target.blocks - first);
        let exists = ((1_u32 << count) - 1) as u16;
        let mut magnitudes = [_mm512_setzero_si512(); WIDTH];
        for block in 0..count {
            let k = (first + block) * BLOCK;
            let (low, high) = (values(row, factors, k), values(row, factors, k + WIDTH));
            // Magnitudes rise with their bits, through infinity to NaN.
            let either = _mm512_set1_epi32(i32::MAX);
            let (low, high) = (_mm512_castps_si512(low), _mm512_castps_si512(high));
            magnitudes[block] = _mm512_max_epu32(_mm512_and_si512(low, either), _mm512_and_si512(high, either));
        }
        let largest = reduce::<LARGEST>(magnitudes);
        let is_finite = _mm512_cmplt_epu32_mask(largest, _mm512_set1_epi32(f32::INFINITY.to_bits() as i32));
        let scale = _mm512_div_ps(_mm512_castsi512_ps(largest), _mm512_set1_ps(127.0));
        let is_normal = is_finite & _mm512_cmp_ps_mask::<_CMP_GE_OQ>(scale, _mm512_set1_ps(f32::MIN_POSITIVE));
        let mut inverses = [0.0_f32; WIDTH];
        // SAFETY: the array has the lanes, the target the scales of `count` blocks.
        unsafe {
            _mm512_storeu_ps(inverses.as_mut_ptr(), _mm512_maskz_div_ps(is_normal, _mm512_set1_ps(1.0), scale));
            let scale = _mm512_mask_mov_ps(_mm512_set1_ps(f32::NAN), is_finite, _mm512_maskz_mov_ps(is_normal, scale));
            _mm512_mask_storeu_ps(target.scales().wrapping_add(first), exists, scale);
        }
        let mut sums = [_mm512_setzero_si512(); WIDTH];
        for block in 0..count {
            let inverse = _mm512_set1_ps(inverses[block]);
            let codes = target.codes().wrapping_add((first + block) * QUADS);
            for i in [0, WIDTH] {
                let values = values(row, factors, (first + block) * BLOCK + i);
                let whole = _mm512_cvtps_epi32(_mm512_mul_ps(values, inverse));
                sums[block] = _mm512_add_epi32(sums[block], whole);
                // SAFETY: the target has every block.
                unsafe { _mm_storeu_si128(codes.wrapping_add(i / QUAD).cast(), _mm512_cvtsepi32_epi8(whole)) };
            }
        }
        let starts = _mm512_mullo_epi32(reduce::<SUM>(sums), _mm512_set1_epi32(-i32::from(OFFSET)));
        // SAFETY: the target has the starts of `count` blocks.
        unsafe { _mm512_mask_storeu_epi32(target.starts().wrapping_add(first), exists, starts) };
    }
}

/// Sixteen values from `k` on, zeros behind the end.
#[inline]
#[target_feature(enable = "avx512f")]
fn values(row: &[f32], factors: &[f32], k: usize) -> __m512 {
    let mask = ((1_u32 << row.len().saturating_sub(k).min(WIDTH)) - 1) as u16;
    // SAFETY: the mask ends with the row.
    unsafe {
        let values = _mm512_maskz_loadu_ps(mask, row.as_ptr().wrapping_add(k));
        if factors.is_empty() {
            return values;
        }
        _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, factors.as_ptr().wrapping_add(k)))
    }
}

const LARGEST: bool = true;
const SUM: bool = false;

/// The largest lane, or the sum of the lanes, of each vector, as the lanes of one.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
#[allow(clippy::needless_range_loop)] // As in kernels::tile.
fn reduce<const IS_LARGEST: bool>(vectors: [__m512i; WIDTH]) -> __m512i {
    let mut twos = [_mm512_setzero_si512(); 8];
    for i in 0..8 {
        let (a, b) = (vectors[2 * i], vectors[2 * i + 1]);
        twos[i] = join::<IS_LARGEST>(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    }
    let mut fours = [_mm512_setzero_si512(); 4];
    for i in 0..4 {
        let (a, b) = (twos[2 * i], twos[2 * i + 1]);
        fours[i] = join::<IS_LARGEST>(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    let halves = [join_quarters::<IS_LARGEST>(fours[0], fours[1]), join_quarters::<IS_LARGEST>(fours[2], fours[3])];
    join_quarters::<IS_LARGEST>(halves[0], halves[1])
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join<const IS_LARGEST: bool>(a: __m512i, b: __m512i) -> __m512i {
    if IS_LARGEST { _mm512_max_epu32(a, b) } else { _mm512_add_epi32(a, b) }
}

/// Joins the even quarters of both vectors with the odd ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn join_quarters<const IS_LARGEST: bool>(a: __m512i, b: __m512i) -> __m512i {
    join::<IS_LARGEST>(_mm512_shuffle_i64x2::<0b10_00_10_00>(a, b), _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b))
}
