//! The right operand of the products in bfloat16: panels of sixteen columns as words of two k, [k / 2][16], the even k in the low half.
//! Weights in another format are rounded to bfloat16, as bitsandbytes dequantises NF4 for a product in bfloat16.
use crate::kernels::codec::Codec;
use crate::kernels::lanes::WIDTH;
use crate::kernels::lanes_x86::Avx512;
use crate::kernels::operands::Panel;
use crate::kernels::packed::{Packed, PanelBytes};
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

pub(super) trait Words: Sync {
    /// Whether `words` finds them in the weight itself.
    const ARE_IN_PLACE: bool;
    /// The words of k in `depth` (which begins at a multiple of 16), where they lie or written to `buffer`, rounded up to sixteen k.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16; panel and depth exist, the buffer holds them.
    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut u32) -> *const u32;
}

/// Wᵀ: k are inputs, columns are output rows, as packed.
pub(super) struct WidenedWords<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: Codec> WidenedWords<'a, C> {
    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, codec: PhantomData }
    }
}

impl<C: Codec> Words for WidenedWords<'_, C> {
    const ARE_IN_PLACE: bool = C::ARE_BF16_WORDS;

    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut u32) -> *const u32 {
        let (panel, first) = (self.weight.panel(panel), depth.start / 2);
        if C::ARE_BF16_WORDS {
            return panel.codes.as_ptr().wrapping_add(first * C::PAIR_BYTES).cast();
        }
        unsafe { widen::<C>(panel, first, depth.len().div_ceil(2), buffer) };
        buffer
    }
}

/// W: k are output rows, columns are inputs; blocks of 16 × 16 are transposed.
pub(super) struct TransposedWords<'a, C> {
    weight: &'a Packed,
    codec: PhantomData<fn() -> C>,
}

impl<'a, C: Codec> TransposedWords<'a, C> {
    pub fn new(weight: &'a Packed) -> Self {
        Self { weight, codec: PhantomData }
    }
}

impl<C: Codec> Words for TransposedWords<'_, C> {
    const ARE_IN_PLACE: bool = false;

    unsafe fn words(&self, panel: usize, depth: &Range<usize>, buffer: *mut u32) -> *const u32 {
        let first = panel * WIDTH / 2;
        let pairs = (WIDTH / 2).min(self.weight.layout.pairs - first);
        for (i, k) in depth.clone().step_by(WIDTH).enumerate() {
            let target = buffer.wrapping_add(i * WIDTH * WIDTH / 2);
            unsafe { transpose::<C>(self.weight.panel(k / WIDTH), first, pairs, target) };
        }
        buffer
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn widen<C: Codec>(panel: PanelBytes<'_>, first: usize, pairs: usize, target: *mut u32) {
    let reader = C::reader::<Avx512>(panel, first);
    for pair in 0..pairs {
        unsafe {
            let words = read::<C>(panel, &reader, first, pair);
            _mm512_storeu_si512(target.add(pair * WIDTH).cast(), words);
        }
    }
}

/// The words of sixteen output rows at a pair of inputs.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn read<C: Codec>(panel: PanelBytes<'_>, reader: &C::Reader<Avx512>, first: usize, pair: usize) -> __m512i {
    unsafe {
        if C::ARE_BF16_WORDS {
            return _mm512_loadu_si512(panel.codes.as_ptr().add((first + pair) * C::PAIR_BYTES).cast());
        }
        let (even, odd) = reader.pair(pair);
        let rounded = |lanes: Avx512| {
            let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(lanes.register()));
            _mm512_cvtepu16_epi32(halves)
        };
        _mm512_or_si512(rounded(even), _mm512_slli_epi32::<16>(rounded(odd)))
    }
}

/// Words [8 pairs of inputs][16 rows] of two inputs become words [8 pairs of rows][16 inputs] of two rows. Pairs of inputs that do not
/// exist give zeros.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
#[allow(clippy::needless_range_loop)] // As in kernels::tile.
unsafe fn transpose<C: Codec>(panel: PanelBytes<'_>, first: usize, pairs: usize, target: *mut u32) {
    let reader = C::reader::<Avx512>(panel, first);
    // In each 8 bytes, two rows of two inputs become two inputs of two rows.
    let exchange = _mm512_set4_epi32(0x0f0e_0b0a, 0x0d0c_0908, 0x0706_0302, 0x0504_0100);
    let mut rows = [_mm512_setzero_si512(); 8];
    for pair in 0..pairs {
        rows[pair] = _mm512_shuffle_epi8(unsafe { read::<C>(panel, &reader, first, pair) }, exchange);
    }
    // What remains is to transpose an 8 × 8 matrix of 8 bytes each: pairs of rows, quarters, halves.
    let mut twos = [_mm512_setzero_si512(); 8];
    for i in 0..4 {
        twos[2 * i] = _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]);
        twos[2 * i + 1] = _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = [_mm512_setzero_si512(); 8];
    for half in 0..2 {
        for odd in 0..2 {
            let (a, b) = (twos[4 * half + odd], twos[4 * half + 2 + odd]);
            // Lanes 0 and 2, and lanes 1 and 3, of both.
            fours[4 * half + odd] = _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
            fours[4 * half + 2 + odd] = _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
        }
    }
    for odd in 0..2 {
        for lane in 0..2 {
            let (a, b) = (fours[2 * lane + odd], fours[4 + 2 * lane + odd]);
            let low = _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
            let high = _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
            let row = 2 * lane + odd;
            unsafe {
                _mm512_storeu_si512(target.add(row * WIDTH).cast(), low);
                _mm512_storeu_si512(target.add((row + 4) * WIDTH).cast(), high);
            }
        }
    }
}
